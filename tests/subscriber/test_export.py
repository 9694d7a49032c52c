from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from append_times import next_millisecond
from spoken_finals import gap, spoken

from captions.formats import FORMATS, write
from devstack.kafka import LocalKafka
from devstack.ports import free_ports
from schemas.codec import encode_event
from schemas.topics import Topics
from schemas.transcript import AnyEvent
from subscriber.export import main, parser, usage_problem

Send: TypeAlias = Callable[..., Awaitable[None]]
Export: TypeAlias = Callable[..., Awaitable[int]]
CALL = (
    spoken("Hello.", 1.0, 2.0, stream_id="call-7"),
    spoken("你好。", 3.0, 4.0, stream_id="call-7", utterance=1),
)
DESK = (spoken("Good morning.", 1.0, 2.0, stream_id="desk:1"),)


@pytest.fixture
async def publish(send: Send) -> Callable[..., Awaitable[None]]:
    async def publish(*events: AnyEvent) -> None:
        for event in events:
            await send(encode_event(event), partition=len(event.stream_id) % 4)

    return publish


@pytest.fixture
def export(kafka: LocalKafka, topics: Topics) -> Export:
    """Return a function that runs the command, which has an event loop of its own."""

    async def export(*argv: str) -> int:
        place = ("--bootstrap", kafka.bootstrap, "--prefix", topics.prefix)
        return await asyncio.to_thread(main, [*argv, *place])

    return export


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_one_stream_is_written_to_standard_output(
    export: Export, publish: Send, capfd: pytest.CaptureFixture[str]
):
    await publish(*CALL, *DESK)
    assert await export("--stream", "call-7", "--format", "vtt") == 0
    assert capfd.readouterr() == (write("vtt", CALL).decode(), "")


@pytest.mark.parametrize("name", FORMATS)
async def test_every_stream_becomes_a_file(
    name: str, export: Export, publish: Send, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    await publish(*CALL, *DESK)
    folder = tmp_path / "new" / "folder"
    assert await export("--all", "--format", name, "--out", str(folder)) == 0
    call, desk = (folder / f"{stream}{FORMATS[name].suffix}" for stream in ("call-7", "desk:1"))
    assert names(folder) == [call.name, desk.name]
    assert sorted(capfd.readouterr().out.splitlines()) == [str(call), str(desk)]
    if name != "docx":  # whose archive has the time of writing
        assert call.read_bytes() == write(name, CALL, "call-7")


async def test_an_aborted_transaction_is_not_exported(
    export: Export, send: Send, capfd: pytest.CaptureFixture[str]
):
    await send(encode_event(CALL[0]), commit=False)
    await send(encode_event(CALL[1]))
    assert await export("--stream", "call-7", "--format", "txt") == 0
    assert capfd.readouterr().out == "你好。\n"


async def test_gaps_are_marked(export: Export, publish: Send, capfd: pytest.CaptureFixture[str]):
    await publish(gap(0, 2.5))
    assert await export("--stream", "s", "--format", "md") == 0
    assert "*00:00:00 gap: 2.5 s never reached Kafka*" in capfd.readouterr().out


async def test_only_events_of_the_time_are_exported(
    export: Export, publish: Send, capfd: pytest.CaptureFixture[str]
):
    times_ms = []
    for utterance, text in enumerate(("one", "two", "three")):
        times_ms.append(str(await next_millisecond()))
        await publish(spoken(text, utterance=utterance))
    argv = ("--stream", "s", "--format", "txt")
    _, second, third = times_ms
    for bounds in (("--from", second), ("--to", third), ("--from", second, "--to", third)):
        assert await export(*argv, *bounds) == 0
    assert capfd.readouterr().out.split() == ["two", "three", "one", "two", "two"]
    assert await export(*argv, "--to", "1h") == 1
    assert capfd.readouterr().err == "streamscribe export: no transcript of s at this time\n"


async def test_a_stream_without_a_transcript_is_an_error_and_the_others_are_written(
    export: Export, publish: Send, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    await publish(*DESK)
    argv = ("--stream", "cal-7", "--stream", "desk:1", "--format", "txt", "--out", str(tmp_path))
    assert await export(*argv) == 1
    assert (tmp_path / "desk:1.txt").read_text() == "Good morning.\n"
    assert "no transcript of cal-7" in capfd.readouterr().err


async def test_an_empty_topic_is_an_error(
    export: Export, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert await export("--all", "--format", "txt", "--out", str(tmp_path)) == 1
    assert capfd.readouterr().err == "streamscribe export: no transcript at this time\n"


async def test_what_a_format_cannot_hold_is_one_line_and_the_others_are_written(
    export: Export, publish: Send, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    await publish(spoken("late", 360_000, 360_001, stream_id="long"), *DESK)
    assert await export("--all", "--format", "srt", "--out", str(tmp_path)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("streamscribe export: long: srt has no times of 100 hours")
    assert names(tmp_path) == ["desk:1.srt"]


async def test_an_id_that_is_a_path_is_no_name_of_a_file(
    export: Export, publish: Send, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    await publish(spoken("Hello.", stream_id="../x"))
    assert await export("--all", "--format", "txt", "--out", str(tmp_path / "out")) == 1
    assert "../x: no stream id" in capfd.readouterr().err
    assert names(tmp_path) == []


async def test_a_folder_that_cannot_be_written_is_one_line(
    export: Export, publish: Send, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    await publish(*DESK)
    (tmp_path / "file").write_text("")
    assert await export("--all", "--format", "txt", "--out", str(tmp_path / "file")) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("streamscribe export: desk:1: ")


def problem(*argv: str) -> str | None:
    return usage_problem(parser().parse_args([*argv, "--format", "srt"]))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--all"], "more than one stream: --out DIR"),
        (["--stream", "a", "--stream", "b"], "more than one stream: --out DIR"),
        (["--stream", "a", "--from", "1h", "--to", "2h"], "--from is not before --to"),
        (["--stream", "a", "--from", "now"], "--from is a time before --to"),
        (["--stream", "a", "--to", "beginning"], "--from is a time before --to"),
    ],
)
def test_arguments_that_do_not_go_together_are_named(argv: list[str], message: str):
    assert message in (problem(*argv) or "")


@pytest.mark.parametrize(
    "argv",
    [
        ["--stream", "a"],
        ["--stream", "a", "--from", "2h", "--to", "1h"],
        ["--all", "--out", "x", "--to", "1h"],
    ],
)
def test_arguments_that_go_together_are_accepted(argv: list[str]):
    assert problem(*argv) is None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_word_document_is_not_written_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(SystemExit) as raised:
        main(["--stream", "a", "--format", "docx"])
    assert raised.value.code == 2
    assert "docx is no text for a terminal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--format", "srt"], "one of the arguments --stream --all is required"),
        (["--all", "--stream", "a", "--format", "srt"], "not allowed with argument"),
        (["--all", "--format", "sub"], "invalid choice: 'sub'"),
        (["--all"], "the following arguments are required: --format"),
    ],
)
def test_wrong_usage_exits_with_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as raised:
        main(argv)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_an_absent_broker_is_a_one_line_error(capsys: pytest.CaptureFixture[str]):
    (port,) = free_ports(1)
    argv = ["--stream", "a", "--format", "srt", "--bootstrap", f"127.0.0.1:{port}"]
    assert main(argv) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"streamscribe export: no answer from Kafka at 127.0.0.1:{port}")
