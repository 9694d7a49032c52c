"""The publishers of docs/publishing.md, run as documented, with the real broker.

npm and Go keep what they install in the user's caches; a missing tool is a failure.
"""

from __future__ import annotations

import asyncio
import zlib
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import numpy as np
import pytest
from aiokafka.partitioner import murmur2
from documented_programs import (
    BRIDGES,
    ENVIRONMENT,
    LANGUAGES,
    PUBLISHERS,
    SECTIONS,
    commands,
    program,
)
from topic_records import read_topic

from devstack.kafka import LocalKafka
from devstack.kafka_jars import class_path
from schemas.audio import AudioCodec
from schemas.codec import decode_audio
from schemas.topics import Topics

STREAM = "call-1"  # in different partitions of 4 by murmur2 and by librdkafka's default
PARTITIONS = 4
AUDIO = np.arange(7_900, dtype="<i2").tobytes()  # 0.5 s; the last chunk is shorter than the others
CHUNK = 3_200
TIMEOUT_S = 300  # the first build of the Go client on a slow machine takes minutes


def test_every_program_of_the_page_is_tested() -> None:
    programs = {title for title, blocks in SECTIONS.items() if blocks.keys() & set(LANGUAGES)}
    assert programs == PUBLISHERS.keys() | BRIDGES.keys()


@pytest.mark.parametrize("title", PUBLISHERS)
async def test_a_publisher_works_as_documented(
    title: str, kafka: LocalKafka, topics: Topics, tmp_path: Path
) -> None:
    (tmp_path / PUBLISHERS[title]).write_text(program(title), "utf-8")
    (tmp_path / "audio.raw").write_bytes(AUDIO)
    (tmp_path / "lib").mkdir()
    for jar in class_path().split(":"):
        (tmp_path / "lib" / Path(jar).name).symlink_to(jar)
    replacements = {"localhost:9092": kafka.bootstrap, "speech.audio.v1": topics.audio}
    await run(commands(title, replacements), tmp_path)
    records = await read_topic(kafka.bootstrap, topics.audio, PARTITIONS)
    assert {(r.key, r.partition) for r in records} == {(STREAM.encode(), partition(STREAM))}
    chunks = [decode_audio(r.key, r.value, r.headers) for r in records]
    assert b"".join(chunk.payload for chunk in chunks) == AUDIO
    assert {chunk.codec for chunk in chunks} == {AudioCodec.PCM_S16LE}
    assert {chunk.rate for chunk in chunks} == {16_000}
    assert [len(chunk.payload) for chunk in chunks] == [*[CHUNK] * 4, 3_000, 0]
    assert [chunk.seq for chunk in chunks] == [0, 1, 2, 3, 4, 5]
    assert [chunk.end for chunk in chunks] == [False] * 5 + [True]


async def run(script: str, folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", script),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=PIPE,
        stderr=STDOUT,
    )
    async with asyncio.timeout(TIMEOUT_S):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


def partition(stream: str) -> int:
    """Return the partition that Java's default partitioner selects."""
    key = stream.encode()
    by_murmur2 = (murmur2(key) & 0x7FFF_FFFF) % PARTITIONS
    assert by_murmur2 != zlib.crc32(key) % PARTITIONS, "both partitioners select the same"
    return int(by_murmur2)
