from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import TypeAlias

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pseudo_terminal import on_terminal
from tail_events import final, partial

from devstack.kafka import LocalKafka
from devstack.ports import free_ports
from schemas.codec import WireRecord, encode_event
from schemas.topics import Topics
from schemas.transcript import Verdict
from subscriber.__main__ import main

Send: TypeAlias = Callable[..., Awaitable[None]]


@asynccontextmanager
async def tail(*argv: str) -> AsyncIterator[Process]:
    """Run `streamscribe tail` as a child process, which is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamscribe", "tail", *argv), stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(stream: asyncio.StreamReader | None) -> str:
    assert stream
    return (await stream.readline()).decode()


async def test_events_are_printed_as_they_are_published(
    kafka: LocalKafka, topics: Topics, send: Send
):
    await send("hello", "call-7")
    argv = ("--bootstrap", kafka.bootstrap, "--prefix", topics.prefix, "--from", "beginning")
    async with tail(*argv) as process:
        await line_of(process.stdout)  # the date
        assert (await line_of(process.stdout)).endswith("  call-7           warning: hello\n")
        await send("and again", "call-7")
        assert (await line_of(process.stdout)).endswith("  call-7           warning: and again\n")


async def test_ctrl_c_ends_the_command_without_a_traceback(
    kafka: LocalKafka, topics: Topics, send: Send
):
    await send("hello")
    argv = ("--bootstrap", kafka.bootstrap, "--prefix", topics.prefix, "--from", "beginning")
    async with tail(*argv) as process:
        await line_of(process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
        assert (process.returncode, errors) == (130, b"")


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_a_closed_output_ends_the_command_without_an_error_message(
    kafka: LocalKafka, topics: Topics, send: Send, flags: tuple[str, ...]
):
    await send("hello")
    argv = ("--bootstrap", kafka.bootstrap, "--topic", topics.transcripts, "--from", "beginning")
    async with tail(*argv, *flags) as process:
        await line_of(process.stdout)
        process.stdout._transport.close()  # type: ignore[union-attr]
        await send("unread")
        assert process.stderr
        errors = await process.stderr.read()
        assert (await process.wait(), errors) == (141, b"")


async def test_json_is_one_cloud_event_per_line(kafka: LocalKafka, topics: Topics, send: Send):
    await send("hello", "b")
    await send("你好", "a")
    argv = ("--bootstrap", kafka.bootstrap, "--prefix", topics.prefix, "--from", "1h")
    async with tail(*argv, "--json", "--stream", "a") as process:
        event = json.loads(await line_of(process.stdout))
    assert event == {
        "specversion": "1.0",
        "id": "a/0-0/e0",
        "source": "/streamscribe",
        "type": "speech.stream.warning",
        "subject": "a",
        "time": "2026-07-08T10:01:07.000Z",
        "sequence": "0000000000",
        "datacontenttype": "application/json",
        "data": {
            "stream_id": "a",
            "session_id": "0-0",
            "index": 0,
            "time_ms": 1_783_504_867_000,
            "traceparent": None,
            "message": "你好",
        },
    }


@pytest.fixture
async def speak(kafka: LocalKafka, topics: Topics) -> AsyncIterator[Send]:
    """Return a function that publishes a partial, as a worker does."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:

        async def speak(text: str, revision: int) -> None:
            record = encode_event(partial(text, utterance=1, revision=revision))
            await producer.send_and_wait(
                topics.partials, record.value, record.key, headers=record.headers
            )

        yield speak


@pytest.mark.parametrize("layout", [(), ("--by-stream",)])
@pytest.mark.parametrize("colour", [True, False])
async def test_on_a_terminal_a_partial_is_grey_until_its_final(
    layout: tuple[str, ...],
    colour: bool,
    kafka: LocalKafka,
    topics: Topics,
    send: Send,
    speak: Send,
):
    await send(encode_event(final("Ask not", "not", verdict=Verdict.REVIEW)))
    argv = ("--bootstrap", kafka.bootstrap, "--prefix", topics.prefix, "--from", "beginning")
    async with asyncio.timeout(60), on_terminal("tail", *argv, *layout, colour=colour) as screen:
        revisions = count(1)
        await screen.repeat_until(
            lambda: speak("现在这个", next(revisions)),
            lambda lines: all(text in "".join(lines) for text in ("现在这个", "Ask")),
        )
        grey, yellow = "<brightblack>现在这个</brightblack>", "<brown>not (?)</brown>"
        shown = "\n".join(screen.lines)
        assert (grey in shown, yellow in shown) == (colour, colour)
        await send(encode_event(final("现在这个部门。", utterance=1)))
        await screen.until(lambda lines: "".join(lines).count("现在这个部门。") == 1)
        await screen.until(lambda lines: "".join(lines).count("现在这个") == 1)
        assert (b"\x1b[90m" in screen.written) is colour


async def test_without_the_partials_topic_finals_are_shown(kafka: LocalKafka, prefix: str):
    topic = Topics(prefix).transcripts
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    record = encode_event(final("Ask not"))
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        await producer.send_and_wait(topic, record.value, record.key, headers=record.headers)
    argv = ("--bootstrap", kafka.bootstrap, "--prefix", prefix, "--from", "beginning")
    async with asyncio.timeout(60), on_terminal("tail", *argv) as screen:
        await screen.until(lambda lines: any(line.endswith("Ask not") for line in lines))
        await screen.until(lambda lines: any("finals only: " in line for line in lines))


@pytest.mark.parametrize("argv", [["--by-stream"], ["--by-stream", "--json"]])
def test_captions_by_stream_without_a_terminal_are_a_usage_error(
    argv: list[str], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as raised:
        main(argv)
    assert raised.value.code == 2
    assert "--by-stream needs a terminal" in capsys.readouterr().err


async def test_a_record_that_is_no_event_is_a_one_line_warning(
    kafka: LocalKafka, topics: Topics, send: Send
):
    await send(WireRecord(b"a", b"\x1b[2J", [("ce_type", b"\x1b[2J")]))
    await send("good")
    argv = ("--bootstrap", kafka.bootstrap, "--prefix", topics.prefix, "--from", "beginning")
    async with tail(*argv, "--json") as process:
        assert json.loads(await line_of(process.stdout))["data"]["message"] == "good"
        warned = await line_of(process.stderr)
    assert warned.startswith(f"streamscribe tail: {topics.transcripts}/0 offset 0: ")
    assert "\x1b" not in warned


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--from", "yesterday"], "'yesterday' is none of: beginning, now"),
        (["--bootstrap", "kafka:port"], "'kafka:port' is not HOST:PORT"),
        (["--prefix", "a b"], "is no topic name"),
    ],
)
def test_an_invalid_value_is_a_usage_error_with_the_reason(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as raised:
        main(argv)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_an_absent_broker_is_a_one_line_error(capsys: pytest.CaptureFixture[str]):
    (port,) = free_ports(1)
    assert main(["--bootstrap", f"127.0.0.1:{port}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"streamscribe tail: no answer from Kafka at 127.0.0.1:{port}")
