"""The bridges of docs/publishing.md, run as documented, with recorded calls and the real broker."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
import signal
import socket
import struct
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import recorded_calls
import soundfile
from aiokafka import ConsumerRecord
from documented_programs import ASTERISK, BRIDGES, ENVIRONMENT, TWILIO, commands, program
from recorded_calls import CALL_ID, CALL_SID, FRAME, RATE, STREAM_SID, frame, mulaw, speech
from stream_harness import OneStream
from topic_records import read_until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from consumer.codecs.decode import decode
from consumer.core.audio.utterance import Int16Array
from devstack.kafka import LocalKafka
from devstack.ports import free_ports
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import decode_audio
from schemas.topics import Topics
from schemas.transcript import StreamEnded, StreamGap, StreamStarted, TranscriptFinal
from transport.cluster import create_topics

HOST = "127.0.0.1"
PUBLISHER = "AudioPublisher(bootstrap, topic, "  # in both bridges
PORTS = {TWILIO: "8080", ASTERISK: "9019"}  # as documented
TIMEOUT_S = 120
SHORT_TIMEOUT = "delivery_timeout_s=1.0, "
INBOUND, OUTBOUND = f"{CALL_SID}-inbound", f"{CALL_SID}-outbound"
FIRST = recorded_calls.FIRST_MS * RATE // 1000  # sample of the first frame
MESSAGES = recorded_calls.TWILIO.read_text("utf-8").splitlines()


@dataclass
class Bridge:
    process: Process
    port: int
    kafka: LocalKafka
    topics: Topics

    def call(self) -> connect:
        return connect(f"ws://{HOST}:{self.port}", proxy=None)

    async def ended_streams(self, count: int) -> dict[str, list[AudioChunk]]:
        """Wait until this many streams have ended; return the chunks of all streams."""

        def is_complete(records: list[ConsumerRecord]) -> bool:
            return sum(chunk.end for chunk in map(chunk_of, records)) == count

        return by_stream(await read_until(self.kafka.bootstrap, self.topics.audio, is_complete))

    async def records(self, count: int) -> None:
        """Wait until there are this many records."""

        def is_complete(records: list[ConsumerRecord]) -> bool:
            return len(records) == count

        await read_until(self.kafka.bootstrap, self.topics.audio, is_complete)

    async def fails(self, send: Callable[[], Awaitable[None]]) -> None:
        """Send until the bridge has ended, and check that the reason was Kafka."""

        async def speak() -> None:
            with suppress(OSError, ConnectionClosed):
                while True:  # waits while the bridge reads nothing
                    await send()

        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(speak())
            await self.ended_by_kafka()
            speaking.cancel()

    async def ended_by_kafka(self) -> None:
        """Wait until the bridge has ended, and check that the reason was Kafka."""
        _, errors = await self.process.communicate()
        assert self.process.returncode == 1
        assert b"producer.errors.PublishError: " in errors

    async def stop(self) -> list[str]:
        """Stop the bridge in order, and return what it has written to standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = await self.process.communicate()
        assert self.process.returncode == 0, errors.decode()
        return errors.decode().splitlines()


def chunk_of(record: ConsumerRecord) -> AudioChunk:
    chunk = decode_audio(record.key, record.value, record.headers)
    assert not chunk.problems
    return chunk


def by_stream(records: list[ConsumerRecord]) -> dict[str, list[AudioChunk]]:
    streams = defaultdict(list)
    for chunk in map(chunk_of, records):
        streams[chunk.stream_id].append(chunk)
    return streams


@asynccontextmanager
async def bridge(
    title: str, kafka: LocalKafka, topics: Topics, folder: Path, arguments: str = ""
) -> AsyncIterator[Bridge]:
    """Run a bridge; `arguments`: more ones for its publisher."""
    code = program(title)
    assert PUBLISHER in code
    code = code.replace(PUBLISHER, PUBLISHER + arguments)
    (folder / BRIDGES[title]).write_text(code, "utf-8")
    (port,) = free_ports(1)
    replacements = {"localhost:9092": kafka.bootstrap, "speech.audio.v1": topics.audio}
    command = shlex.split(commands(title, {**replacements, PORTS[title]: str(port)}))
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=ENVIRONMENT, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            assert process.stdout is not None
            assert await process.stdout.readline() == b"listening on port %d\n" % port
            yield Bridge(process, port, kafka, topics)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
async def twilio(kafka: LocalKafka, topics: Topics, tmp_path: Path) -> AsyncIterator[Bridge]:
    async with bridge(TWILIO, kafka, topics, tmp_path) as running:
        yield running


@pytest.fixture
async def asterisk(kafka: LocalKafka, topics: Topics, tmp_path: Path) -> AsyncIterator[Bridge]:
    async with bridge(ASTERISK, kafka, topics, tmp_path) as running:
        yield running


def frames(track: str, *numbers: int) -> bytes:
    """Return the µ-law of some frames of a track."""
    return b"".join(mulaw(track)[FRAME * n : FRAME * (n + 1)] for n in numbers)


def decoded(audio: bytes) -> Int16Array:
    """Return the samples of µ-law, as libsndfile decodes it."""
    samples, _ = soundfile.read(
        io.BytesIO(audio), format="RAW", subtype="ULAW", channels=1, samplerate=RATE, dtype="int16"
    )
    return np.asarray(samples, np.int16)


def pieces(chunks: list[AudioChunk]) -> list[tuple[int, Int16Array]]:
    """Return the position and the samples of each uninterrupted piece, as the worker decodes it."""
    result: list[tuple[int, Int16Array]] = []
    for chunk in chunks:
        assert chunk.start is not None
        samples = decode(chunk.payload, chunk.codec, chunk.rate, chunk.channels).samples[:, 0]
        if result and chunk.start == result[-1][0] + len(result[-1][1]):
            position, before = result.pop()
            result.append((position, np.concatenate([before, samples])))
        else:
            result.append((chunk.start, samples))
    return result


def check_pieces(chunks: list[AudioChunk], expected: list[tuple[int, Int16Array]]) -> None:
    """Check all samples, that each piece is cut into full records, and what all records share."""
    found = pieces(chunks)
    assert [position for position, _ in found] == [position for position, _ in expected]
    for (_, samples), (_, right) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(samples, right)
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.end for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert len({(chunk.codec, chunk.rate, chunk.channels, chunk.run) for chunk in chunks}) == 1
    assert [chunk.options for chunk in chunks] == [
        StreamOptions(languages=("en",)),
        *[StreamOptions()] * (len(chunks) - 1),
    ]
    assert len(chunks) <= sum(len(samples) // (RATE // 10) + 1 for _, samples in expected)


def events(chunks: list[AudioChunk]) -> list[Any]:
    """Return what the worker publishes about a stream, without the texts."""
    stream = OneStream(chunks[0].stream_id)
    for chunk in chunks:
        stream.take(stream.log.append(chunk))
    return [event for event in stream.events() if not isinstance(event, TranscriptFinal)]


def test_the_recordings_are_those_of_the_samples() -> None:
    assert recorded_calls.twilio_messages() == MESSAGES
    recorded = b"".join(recorded_calls.audiosocket_frames())
    assert recorded_calls.AUDIOSOCKET.read_bytes() == recorded


async def test_each_track_of_a_twilio_call_is_a_stream(twilio: Bridge) -> None:
    async with twilio.call() as call:
        for message in MESSAGES:
            await call.send(message)
    streams = await twilio.ended_streams(2)
    assert await twilio.stop() == []
    assert streams.keys() == {INBOUND, OUTBOUND}
    after = FIRST + 40 * FRAME
    check_pieces(
        streams[INBOUND],
        [
            (FIRST, decoded(frames("inbound", *range(30)))),
            (after, decoded(frames("inbound", *range(40, 62)))),
        ],
    )
    check_pieces(
        streams[OUTBOUND],
        [
            (FIRST, decoded(frames("outbound", *range(45)))),
            (FIRST + 50 * FRAME, decoded(frames("outbound", *range(50, 62)))),
        ],
    )
    first = streams[INBOUND][0]
    assert (first.codec, first.rate, first.channels) == ("pcm_mulaw", RATE, 1)
    assert first.run == STREAM_SID
    started, gap, ended = events(streams[INBOUND])
    assert isinstance(started, StreamStarted)
    assert isinstance(gap, StreamGap)
    assert (gap.start_sample, gap.end_sample) == (FIRST + 30 * FRAME, after)
    assert not gap.estimated
    assert isinstance(ended, StreamEnded)
    assert ended.reason == "end"


async def test_a_connection_that_breaks_ends_the_streams(twilio: Bridge) -> None:
    async with broken(twilio) as call:
        for message in until_frame(24):
            await call.send(message)
    streams = await twilio.ended_streams(2)
    assert await twilio.stop() == []
    # The message of inbound frame 22 did not come before the end; those after it did.
    missing = recorded_calls.DELAYED
    received = [n for n in range(24) if n != missing]
    check_pieces(streams[INBOUND], [(FIRST, decoded(frames("inbound", *received)))])
    check_pieces(streams[OUTBOUND], [(FIRST, decoded(frames("outbound", *range(24))))])


@asynccontextmanager
async def broken(twilio: Bridge) -> AsyncIterator[ClientConnection]:
    """A connection that is reset when the context is left."""
    call = await twilio.call()
    yield call
    call.transport.abort()
    await call.wait_closed()


def until_frame(number: int) -> list[str]:
    """Return the messages before those of a frame."""
    first_ms = str(recorded_calls.FIRST_MS + 20 * number)
    media = (json.loads(message).get("media", {}) for message in MESSAGES)
    index = [each.get("timestamp") for each in media].index(first_ms)
    return MESSAGES[:index]


async def test_messages_that_cannot_be_used_are_skipped(twilio: Bridge) -> None:
    bad: list[str | bytes] = [
        *("no JSON", "[]", "{}", "1", "null", "[" * 60_000, b"\xff\xfe", '{"event": "media"}'),
        '{"event": "media", "sequenceNumber": "x", "media": {}}',
    ]
    messages = [json.loads(message) for message in until_frame(10)]
    media = [message["media"] for message in messages if message["event"] == "media"]
    media[10]["payload"] = "no base64"  # outbound frame 5
    media[11]["timestamp"] = "-1"  # inbound frame 5
    media[13]["track"] = "third"  # inbound frame 6
    async with twilio.call() as other, twilio.call() as call:
        await other.send("x" * 70_000)  # more than any message of Twilio
        with pytest.raises(ConnectionClosedError):
            await other.recv()
        for text in [*bad, *map(json.dumps, messages), *bad]:
            await call.send(text)
    streams = await twilio.ended_streams(2)
    lines = await twilio.stop()
    assert len([line for line in lines if line.startswith("message skipped: ")]) == 2 * len(bad) + 3
    received = [n for n in range(10) if n not in {5, 6}]
    check_pieces(streams[INBOUND], [(FIRST, decoded(frames("inbound", *received)))])
    received = [n for n in range(10) if n != 5]
    check_pieces(streams[OUTBOUND], [(FIRST, decoded(frames("outbound", *received)))])


async def test_a_bridge_that_is_stopped_ends_the_streams_of_twilio(twilio: Bridge) -> None:
    async with twilio.call() as call:
        for message in until_frame(5):
            await call.send(message)
        await twilio.records(2)
        assert await twilio.stop() == []
        streams = await twilio.ended_streams(2)
    check_pieces(streams[INBOUND], [(FIRST, decoded(frames("inbound", *range(5))))])


async def test_an_audiosocket_call_is_a_stream(asterisk: Bridge) -> None:
    recorded = recorded_calls.AUDIOSOCKET.read_bytes()
    sizes = [1, 2, 3, 700, 5, 319]  # frames are split anywhere
    with connected(asterisk) as call:
        while recorded:
            sizes = [*sizes[1:], sizes[0]]
            call.sendall(recorded[: sizes[0]])
            recorded = recorded[sizes[0] :]
        streams = await asterisk.ended_streams(1)
        assert call.recv(1) == b""  # the bridge has closed the connection
    assert streams.keys() == {str(CALL_ID)}
    (chunks,) = streams.values()
    check_pieces(chunks, [(0, speech(0.6))])
    assert (chunks[0].codec, chunks[0].rate, chunks[0].channels) == ("pcm_s16le", RATE, 1)
    assert [type(event) for event in events(chunks)] == [StreamStarted, StreamEnded]
    assert await asterisk.stop() == [
        f"{CALL_ID}: type 0x05 skipped: 010203",
        f"{CALL_ID}: type 0xff skipped: 02",
    ]


@contextmanager
def connected(asterisk: Bridge) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, asterisk.port), TIMEOUT_S) as call:
        call.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield call


async def test_a_reset_within_a_frame_ends_the_stream(asterisk: Bridge) -> None:
    sent = b"".join(recorded_calls.audiosocket_frames()[:11])  # the id, and 10 frames of audio
    with connected(asterisk) as call:
        call.sendall(sent + frame(0x10, bytes(320))[:100])
        await asterisk.records(2)
        call.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    (chunks,) = (await asterisk.ended_streams(1)).values()
    check_pieces(chunks, [(0, speech(0.6)[: 10 * FRAME])])
    assert await asterisk.stop() == []


async def test_what_comes_without_an_id_is_skipped(asterisk: Bridge) -> None:
    start = [frame(0x01, b"too short"), frame(0x10, bytes(320)), frame(0x01, CALL_ID.bytes)]
    audio = recorded_calls.audiosocket_frames()[1:3]
    with connected(asterisk) as call:
        call.sendall(b"".join([*start, *audio]))
    (chunks,) = (await asterisk.ended_streams(1)).values()
    check_pieces(chunks, [(0, speech(0.6)[: 2 * FRAME])])
    assert await asterisk.stop() == [
        f"None: type 0x01 skipped: {b'too '.hex()}",
        "None: type 0x10 skipped: 00000000",
    ]


async def test_half_a_sample_does_not_shift_the_audio_after_it(asterisk: Bridge) -> None:
    call_id, *audio = recorded_calls.audiosocket_frames()[:3]
    with connected(asterisk) as call:
        call.sendall(b"".join([call_id, audio[0], frame(0x10, bytes(319)), audio[1]]))
    (chunks,) = (await asterisk.ended_streams(1)).values()
    check_pieces(chunks, [(0, speech(0.6)[: 2 * FRAME])])
    assert await asterisk.stop() == [f"{CALL_ID}: type 0x10 skipped: 00000000"]


async def test_every_rate_of_audiosocket_is_published_up_to_48_khz(asterisk: Bridge) -> None:
    rates = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000]
    calls = {0x10 + index: uuid4() for index in range(len(rates))}
    for kind, call_id in calls.items():
        with connected(asterisk) as call:
            call.sendall(frame(0x01, call_id.bytes) + frame(kind, bytes(640)))
    streams = await asterisk.ended_streams(7)
    found = {UUID(stream_id): chunks[0].rate for stream_id, chunks in streams.items()}
    expected = dict(zip(calls.values(), rates, strict=True))
    assert found == {call_id: rate for call_id, rate in expected.items() if rate <= 48_000}
    assert len(await asterisk.stop()) == 2


async def test_a_bridge_that_is_stopped_ends_the_streams_of_asterisk(asterisk: Bridge) -> None:
    with connected(asterisk) as call:
        call.sendall(b"".join(recorded_calls.audiosocket_frames()[:6]))
        await asterisk.records(1)
        assert await asterisk.stop() == []
    (chunks,) = (await asterisk.ended_streams(1)).values()
    check_pieces(chunks, [(0, speech(0.6)[: 5 * FRAME])])


async def send_twilio_call(twilio: Bridge) -> None:
    """Return once the bridge has read all of a call: leaving the context waits for its answer."""
    async with twilio.call() as call:
        for message in until_frame(5):
            await call.send(message)


async def send_audiosocket_call(asterisk: Bridge) -> None:
    """Return once the bridge has read all of a call, and closed the connection."""
    call_id, *audio, hang_up = recorded_calls.audiosocket_frames()
    reader, writer = await asyncio.open_connection(HOST, asterisk.port)
    writer.write(b"".join([call_id, *audio[:5], hang_up]))
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    ("title", "send_call", "streams"),
    [(TWILIO, send_twilio_call, 2), (ASTERISK, send_audiosocket_call, 1)],
    ids=["twilio", "asterisk"],
)
async def test_a_bridge_that_is_stopped_without_kafka_ends_with_an_error(
    title: str,
    send_call: Callable[[Bridge], Awaitable[None]],
    streams: int,
    kafka: LocalKafka,
    topics: Topics,
    tmp_path: Path,
) -> None:
    async with bridge(title, kafka, topics, tmp_path, SHORT_TIMEOUT) as running:
        await send_call(running)
        await running.ended_streams(streams)
        kafka.pause(1)
        try:
            await send_call(running)
            with suppress(ProcessLookupError):  # it has found out already
                running.process.send_signal(signal.SIGTERM)
            await running.ended_by_kafka()
        finally:
            kafka.resume(1)


@pytest.mark.broker
async def test_the_bridges_end_when_kafka_is_lost(tmp_path: Path) -> None:
    messages, topics = recorded_calls.TwilioCall(), Topics()
    async with LocalKafka() as kafka, AsyncExitStack() as bridges:
        await create_topics(kafka.bootstrap, topics, partitions=1)
        twilio, asterisk = [
            await bridges.enter_async_context(bridge(title, kafka, topics, tmp_path, SHORT_TIMEOUT))
            for title in (TWILIO, ASTERISK)
        ]
        call = await twilio.call()
        _, writer = await asyncio.open_connection(HOST, asterisk.port)

        async def speak() -> None:
            writer.write(frame(0x10, bytes(320)))
            await writer.drain()

        writer.write(frame(0x01, CALL_ID.bytes))
        await call.send(messages.message("start", start=recorded_calls.start()))
        kafka.kill(1)
        await twilio.fails(lambda: call.send(messages.media("inbound", 0)))
        await asterisk.fails(speak)
        await call.close()
        writer.close()
