"""The publishers of docs/publishing.md, run as documented, with the real broker.

npm and Go keep what they install in the user's caches; a missing tool is a failure.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import zlib
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import numpy as np
import pytest
from aiokafka.partitioner import murmur2
from topic_records import read_topic

from devstack.kafka import LocalKafka
from devstack.kafka_jars import class_path
from schemas.audio import AudioCodec
from schemas.codec import decode_audio
from schemas.topics import Topics

PAGE = Path(__file__).parent.parent / "docs/publishing.md"
SECTIONS = {
    title: re.findall(r"^```(\w+)\n(.*?)^```", body, flags=re.DOTALL | re.MULTILINE)
    for title, body in re.findall(
        r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
}
FILES = {
    "Python: aiokafka": "publish.py",
    "Python: confluent-kafka": "publish.py",
    "Java": "Publish.java",
    "Node.js": "publish.js",
    "Go": "publish.go",
}
STREAM = "call-1"  # in different partitions of 4 by murmur2 and by librdkafka's default
PARTITIONS = 4
AUDIO = np.arange(7_900, dtype="<i2").tobytes()  # 0.5 s; the last chunk is shorter than the others
CHUNK = 3_200
TIMEOUT_S = 300  # the first build of the Go client on a slow machine takes minutes


def test_every_program_of_the_page_is_tested() -> None:
    languages = {"python", "java", "js", "go"}
    programs = {t for t, blocks in SECTIONS.items() if languages & {name for name, _ in blocks}}
    assert programs == set(FILES)


@pytest.mark.parametrize("title", FILES)
async def test_a_publisher_works_as_documented(
    title: str, kafka: LocalKafka, topics: Topics, tmp_path: Path
) -> None:
    (_, program), (_, shell) = SECTIONS[title]
    (tmp_path / FILES[title]).write_text(program, "utf-8")
    (tmp_path / "audio.raw").write_bytes(AUDIO)
    (tmp_path / "lib").mkdir()
    for jar in class_path().split(":"):
        (tmp_path / "lib" / Path(jar).name).symlink_to(jar)
    await run(commands(shell, kafka, topics), tmp_path)
    records = await read_topic(kafka.bootstrap, topics.audio, PARTITIONS)
    assert {(r.key, r.partition) for r in records} == {(STREAM.encode(), partition(STREAM))}
    chunks = [decode_audio(r.key, r.value, r.headers) for r in records]
    assert b"".join(chunk.payload for chunk in chunks) == AUDIO
    assert {chunk.codec for chunk in chunks} == {AudioCodec.PCM_S16LE}
    assert {chunk.rate for chunk in chunks} == {16_000}
    assert [len(chunk.payload) for chunk in chunks] == [*[CHUNK] * 4, 3_000, 0]
    assert [chunk.seq for chunk in chunks] == [0, 1, 2, 3, 4, 5]
    assert [chunk.end for chunk in chunks] == [False] * 5 + [True]


def commands(shell: str, kafka: LocalKafka, topics: Topics) -> str:
    """Return the page's commands for this broker, without pip: its packages are installed."""
    lines = [line for line in shell.splitlines() if not line.startswith("pip install ")]
    replacements = {"localhost:9092": kafka.bootstrap, "speech.audio.v1": topics.audio}
    text = "\n".join(lines)
    for documented, actual in replacements.items():
        assert documented in text
        text = text.replace(documented, actual)
    return text


async def run(script: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", script),
        cwd=folder,
        env=os.environ | {"PATH": path},
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
