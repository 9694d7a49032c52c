"""Pacing and the life of streams, by a clock that is wound by hand. No broker, no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from producer.errors import MediaError, PublishError
from producer.media import AudioFormat, Float32Array
from producer.publish_streams import InputStream, PublishContext, publish_streams
from producer.stream import PublishOptions
from schemas.audio import AudioChunk, AudioCodec, StreamOptions

REALTIME = PublishOptions(AudioCodec.PCM_S16LE, 100, realtime=True, options=StreamOptions())
FAST = PublishOptions(AudioCodec.PCM_S16LE, 100, realtime=False, options=StreamOptions())
TELEPHONE = AudioFormat(8_000, 1)
START_MS = 1_763_868_000_000


@dataclass
class WoundClock:
    """Time passes only in waiting."""

    s: float = 50.0

    def now_s(self) -> float:
        return self.s

    def now_ms(self) -> int:
        return START_MS + round((self.s - 50.0) * 1000)

    async def wait(self, delay_s: float, stop: asyncio.Event) -> None:
        await asyncio.sleep(0)
        if not stop.is_set():
            self.s += max(0.0, delay_s)


@dataclass
class Tone:
    """A source of full-scale ones."""

    seconds: float
    format: AudioFormat = TELEPHONE
    live: bool = False
    breaks_at_s: float | None = None
    name: str = "tone"
    stem: str = "tone"

    async def blocks(self, stop: asyncio.Event) -> AsyncGenerator[Float32Array, None]:
        for at in range(0, round(self.seconds * self.format.rate), 700):
            if self.breaks_at_s is not None and at / self.format.rate >= self.breaks_at_s:
                raise MediaError("tone: breaks off")
            if stop.is_set():
                return
            left = round(self.seconds * self.format.rate) - at
            yield np.ones((min(700, left), self.format.channels), np.float32)


@dataclass
class Scene:
    """A stage whose sent chunks and reports can be looked at."""

    clock: WoundClock = field(default_factory=WoundClock)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[tuple[float, AudioChunk]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    send_takes_s: float = 0.0
    stop_after: int | None = None

    async def send(self, chunk: AudioChunk) -> None:
        self.sent.append((self.clock.s, chunk))
        self.clock.s += self.send_takes_s
        if len(self.sent) == self.stop_after:
            self.stop.set()

    async def play(self, *sources: Tone, manner: PublishOptions = REALTIME) -> bool:
        items = [InputStream(f"stream-{n}", source) for n, source in enumerate(sources)]
        return await publish_streams(
            items, manner, PublishContext(self.send, self.clock, self.stop, self)
        )

    def of(self, stream_id: str) -> list[AudioChunk]:
        return [chunk for _, chunk in self.sent if chunk.stream_id == stream_id]

    def started(self, item: InputStream) -> None:
        self.told.append(f"{item.stream_id} started")

    def advanced(self, item: InputStream, seconds: float) -> None: ...

    def ended(self, item: InputStream, seconds: float, records: int) -> None:
        self.told.append(f"{item.stream_id} ended {seconds} {records}")

    def failed(self, item: InputStream, reason: str) -> None:
        self.told.append(f"{item.stream_id} {reason}")


async def test_each_chunk_is_sent_when_its_last_sample_would_have_been_heard() -> None:
    scene = Scene()
    assert await scene.play(Tone(0.35))
    times = [round(at - 50.0, 6) for at, _ in scene.sent]
    assert times == [0.1, 0.2, 0.3, 0.35]
    captured = [chunk.captured_ms for _, chunk in scene.sent]
    assert captured == [START_MS, START_MS + 100, START_MS + 200, START_MS + 300]
    assert scene.told == ["stream-0 started", "stream-0 ended 0.35 4"]


async def test_a_slow_send_is_caught_up_and_lateness_does_not_add_up() -> None:
    scene = Scene(send_takes_s=0.03)
    await scene.play(Tone(60.0))
    times = [at - 50.0 for at, _ in scene.sent]
    assert times == pytest.approx([*np.arange(0.1, 60.05, 0.1), 60.03])


async def test_what_is_later_than_speech_keeps_the_time_of_the_speech() -> None:
    scene = Scene(send_takes_s=0.5)
    await scene.play(Tone(1.0))
    captured = [chunk.captured_ms for _, chunk in scene.sent]
    assert captured == [START_MS + 100 * n for n in range(11)]


async def test_live_audio_is_not_held_back() -> None:
    scene = Scene()
    await scene.play(Tone(0.35, live=True))
    # The clock starts with the first block of 87.5 ms, which was heard by then.
    assert [round(at - 50.0, 4) for at, _ in scene.sent] == [0.0125, 0.1125, 0.2125, 0.2625]
    assert scene.sent[0][1].captured_ms == START_MS - 88


async def test_as_fast_as_kafka_takes_it_nothing_waits_and_no_time_is_claimed() -> None:
    scene = Scene()
    assert await scene.play(Tone(60.0), manner=FAST)
    assert {at for at, _ in scene.sent} == {50.0}
    assert {chunk.captured_ms for _, chunk in scene.sent} == {None}


async def test_many_inputs_are_many_streams_at_once() -> None:
    scene = Scene()
    assert await scene.play(Tone(1.0), Tone(0.5, AudioFormat(16_000, 2)))
    first, second = scene.of("stream-0"), scene.of("stream-1")
    assert sum(len(chunk.payload) for chunk in first) == 8_000 * 2
    assert sum(len(chunk.payload) for chunk in second) == 8_000 * 2 * 2
    ids = [chunk.stream_id for _, chunk in scene.sent[:10]]
    assert ids == ["stream-0", "stream-1"] * 5
    for chunks in (first, second):
        assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
        assert [chunk.end for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_an_input_that_breaks_ends_its_stream_and_no_other() -> None:
    scene = Scene()
    assert not await scene.play(Tone(1.0, breaks_at_s=0.25), Tone(1.0))
    broken, whole = scene.of("stream-0"), scene.of("stream-1")
    assert sum(len(chunk.payload) for chunk in broken) == 3 * 700 * 2
    assert broken[-1].end
    assert sum(len(chunk.payload) for chunk in whole) == 8_000 * 2
    assert "stream-0 tone: breaks off" in scene.told


async def test_an_input_without_a_sample_makes_no_stream() -> None:
    scene = Scene()
    assert not await scene.play(Tone(0.0))
    assert scene.sent == []
    assert "stream-0 tone: holds no audio" in scene.told


async def test_asked_to_stop_every_stream_ends_where_it_is() -> None:
    scene = Scene(stop_after=4)
    assert await scene.play(Tone(3600.0), Tone(3600.0))
    for stream_id in ("stream-0", "stream-1"):
        chunks = scene.of(stream_id)
        assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
        assert len(chunks) <= 4
        assert chunks[-1].end
        assert chunks[-1].payload == b""
        for chunk, later in pairwise(chunks):
            assert chunk.start is not None
            assert later.start == chunk.start + len(chunk.payload) // 2


async def test_when_kafka_refuses_all_streams_fail_as_one() -> None:
    scene = Scene()

    async def refuse(chunk: AudioChunk) -> None:
        raise PublishError("no")

    items = [InputStream("a", Tone(1.0)), InputStream("b", Tone(1.0))]
    with pytest.raises(PublishError, match="no"):
        await publish_streams(items, FAST, PublishContext(refuse, scene.clock, scene.stop, scene))
