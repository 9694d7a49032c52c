"""Package `streamscribe`, and the programs of docs/python-api.md, run as documented."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import soundfile
from aiokafka import AIOKafkaProducer
from containers import speech

import streamscribe
from devstack.kafka import LocalKafka
from schemas.codec import encode_event
from schemas.topics import Topics
from schemas.transcript import StreamWarning

PAGE = Path(__file__).parents[1] / "docs/python-api.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
FILES, MANY, PUBLISH, READ = PROGRAMS
BASE = '"base"'
BOOTSTRAP = '"localhost:9092"'


def documented(program: str, replacements: Mapping[str, str]) -> list[str]:
    """Return the command that runs a program with what the test uses."""
    for text, actual in replacements.items():
        assert text in program
        program = program.replace(text, actual)
    return [sys.executable, "-c", program]


def run(command: list[str], folder: Path | None = None) -> str:
    """Run a program in a folder and return what it prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing_else():
    heavy = "{'torch', 'numpy', 'av', 'aiokafka'}"
    program = f"import sys, streamscribe; print({heavy} & {{*sys.modules}})"
    assert run([sys.executable, "-c", program]).strip() == "set()"


def test_each_public_name_can_be_imported():
    assert all(getattr(streamscribe, name) for name in streamscribe.__all__)
    with pytest.raises(AttributeError, match="'Missing'"):
        _ = streamscribe.Missing


@pytest.mark.parametrize("program", [FILES, MANY])
def test_the_programs_with_files_work(program: str, tmp_path: Path, base_weights: Path):
    damaged = tmp_path / "damaged.wav"
    soundfile.write(damaged, *speech())
    damaged.rename(tmp_path / "talk.mp4")  # FFmpeg looks at the content
    soundfile.write(damaged, *speech())
    damaged.write_bytes(damaged.read_bytes()[:200_000])
    assert "fellow Americans" in run(documented(program, {BASE: repr(str(base_weights))}), tmp_path)


async def test_the_program_that_publishes_works(kafka: LocalKafka, topics: Topics):
    arguments = f"{kafka.bootstrap!r}, {topics.audio!r}"
    assert await asyncio.to_thread(run, documented(PUBLISH, {BOOTSTRAP: arguments})) == ""


async def test_the_program_that_reads_works(kafka: LocalKafka, topics: Topics):
    """Events are sent until one of them has been printed: the program reads from now on."""
    event = StreamWarning(
        stream_id="call-1", session_id="0-0", index=0, time_ms=0, message="a warning"
    )
    key, value, headers = encode_event(event)
    arguments = f"{kafka.bootstrap!r}, {topics.transcripts!r}"
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    async with asyncio.timeout(60), producer:
        reader = await asyncio.create_subprocess_exec(
            *documented(READ, {BOOTSTRAP: arguments}), stdout=asyncio.subprocess.PIPE
        )
        assert reader.stdout is not None
        line = asyncio.ensure_future(reader.stdout.readline())
        while not line.done():
            await producer.send_and_wait(topics.transcripts, value, key, headers=headers)
        assert b"a warning" in line.result()
        reader.kill()
        await reader.communicate()
