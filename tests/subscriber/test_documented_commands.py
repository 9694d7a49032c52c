"""The command lines of docs/transcripts.md and of the README, and the page's program, run."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest
from pseudo_terminal import on_terminal
from spoken_finals import spoken

from captions.formats import FORMATS, write
from devstack.kafka import LocalKafka
from schemas.codec import encode_event
from schemas.topics import Topics

Send: TypeAlias = Callable[..., Awaitable[None]]

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / name).read_text("utf-8") for name in ("README.md", "docs/transcripts.md")}
STREAMS = ("call-7", "desk-1")


def lines(command: str) -> list[str]:
    """Return the command lines of the pages that run a command of `streamscribe`."""
    pattern = re.compile(rf"^streamscribe {command}(?: .*)?$", re.MULTILINE)
    return sorted({line for page in PAGES.values() for line in pattern.findall(page)})


@pytest.fixture
async def published(
    kafka: LocalKafka, topics: Topics, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publish a final of each stream where the commands look."""
    monkeypatch.setenv("STREAMSCRIBE_BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("STREAMSCRIBE_PREFIX", topics.prefix)
    for stream in STREAMS:
        await send(encode_event(spoken("Good morning.", stream_id=stream)))


def test_the_pages_have_lines_of_both_commands():
    assert len(lines("tail")) > 3
    assert len(lines("export")) > 3


@pytest.mark.parametrize("line", lines("export"))
@pytest.mark.usefixtures("published")
async def test_an_export_writes_its_files(line: str, tmp_path: Path):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_shell(line, cwd=tmp_path, env=environment)
    async with asyncio.timeout(60):
        assert await process.wait() == 0
    files = await asyncio.to_thread(lambda: [p for p in tmp_path.rglob("*") if p.is_file()])
    arguments = shlex.split(line)
    is_one = "--stream" in arguments
    name = arguments[arguments.index("--format") + 1]
    assert len(files) == (1 if is_one else len(STREAMS))
    assert all(path.name.endswith(FORMATS[name].suffix) and path.stat().st_size for path in files)


@pytest.mark.parametrize("line", lines("tail"))
@pytest.mark.usefixtures("published")
async def test_a_tail_shows_what_is_published(line: str, send: Send):
    _, *arguments = shlex.split(line)

    utterances = count(1)

    async def publish() -> None:
        utterance = next(utterances)
        for stream in STREAMS:
            await send(encode_event(spoken("Hello.", stream_id=stream, utterance=utterance)))

    async with asyncio.timeout(60), on_terminal(*arguments) as screen:
        await screen.repeat_until(publish, lambda shown: "Hello." in "".join(shown))


def test_the_program_of_the_page_writes_subtitles():
    page = PAGES["docs/transcripts.md"]
    (program,) = re.findall(r"(?sm)^```python\n(.*?)^```", page)
    names = {"finals": [spoken("Hello.")]}
    exec(program, names)
    assert names["data"] == write("srt", names["finals"])
