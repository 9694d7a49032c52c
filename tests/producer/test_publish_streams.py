"""Pacing and lifecycle of streams with a manual clock, without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from producer.errors import MediaError, PublishError
from producer.formats import AudioFormat, Float32Array
from producer.media import OpenAudio
from producer.publish_streams import InputStream, PublishContext, publish_streams
from producer.stream import PublishOptions
from schemas.audio import AudioChunk, AudioCodec, StreamOptions

REALTIME = PublishOptions(AudioCodec.PCM_S16LE, 100, realtime=True, options=StreamOptions())
FAST = PublishOptions(AudioCodec.PCM_S16LE, 100, realtime=False, options=StreamOptions())
TELEPHONE = AudioFormat(8_000, 1)
START_MS = 1_763_868_000_000


@dataclass
class ManualClock:
    """A clock that advances only while something waits."""

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
    """An input of full-scale samples."""

    seconds: float
    format: AudioFormat = TELEPHONE
    live: bool = False
    fails_at_s: float | None = None
    cannot_be_opened: bool = False
    name: str = "tone"
    warning: str | None = None

    @asynccontextmanager
    async def open(self, stop: asyncio.Event) -> AsyncIterator[OpenAudio]:
        if self.cannot_be_opened:
            raise MediaError("tone: is missing")
        yield OpenAudio(self.format, self.blocks(stop), self.warning)

    async def blocks(self, stop: asyncio.Event) -> AsyncGenerator[Float32Array, None]:
        for at in range(0, round(self.seconds * self.format.rate), 700):
            if self.fails_at_s is not None and at / self.format.rate >= self.fails_at_s:
                raise MediaError("tone: read error")
            if stop.is_set():
                return
            left = round(self.seconds * self.format.rate) - at
            yield np.ones((min(700, left), self.format.channels), np.float32)


@dataclass
class Recorder:
    """Records the sent chunks and the reports."""

    clock: ManualClock = field(default_factory=ManualClock)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[tuple[float, AudioChunk]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    send_takes_s: float = 0.0
    stop_after: int | None = None

    async def send(self, chunk: AudioChunk) -> None:
        self.sent.append((self.clock.s, chunk))
        self.clock.s += self.send_takes_s
        if len(self.sent) == self.stop_after:
            self.stop.set()

    async def publish(self, *sources: Tone, options: PublishOptions = REALTIME) -> bool:
        inputs = [InputStream(f"stream-{n}", source) for n, source in enumerate(sources)]
        return await publish_streams(
            inputs, options, PublishContext(self.send, self.clock, self.stop, self)
        )

    def of(self, stream_id: str) -> list[AudioChunk]:
        return [chunk for _, chunk in self.sent if chunk.stream_id == stream_id]

    def started(self, item: InputStream) -> None:
        self.reports.append(f"{item.stream_id} started")

    def advanced(self, item: InputStream, seconds: float) -> None: ...

    def ended(self, item: InputStream, seconds: float, records: int) -> None:
        self.reports.append(f"{item.stream_id} ended {seconds} {records}")

    def warned(self, item: InputStream, warning: str) -> None:
        self.reports.append(f"{item.stream_id} warned {warning}")

    def failed(self, item: InputStream, reason: str) -> None:
        self.reports.append(f"{item.stream_id} {reason}")


async def test_each_chunk_is_sent_when_its_last_sample_is_spoken() -> None:
    recorder = Recorder()
    assert await recorder.publish(Tone(0.35))
    times = [round(at - 50.0, 6) for at, _ in recorder.sent]
    assert times == [0.1, 0.2, 0.3, 0.35]
    captured = [chunk.captured_ms for _, chunk in recorder.sent]
    assert captured == [START_MS, START_MS + 100, START_MS + 200, START_MS + 300]
    assert recorder.reports == ["stream-0 started", "stream-0 ended 0.35 4"]


async def test_the_delay_of_slow_sends_does_not_accumulate() -> None:
    recorder = Recorder(send_takes_s=0.03)
    await recorder.publish(Tone(60.0))
    times = [at - 50.0 for at, _ in recorder.sent]
    assert times == pytest.approx([*np.arange(0.1, 60.05, 0.1), 60.03])


async def test_late_chunks_keep_their_capture_times() -> None:
    recorder = Recorder(send_takes_s=0.5)
    await recorder.publish(Tone(1.0))
    captured = [chunk.captured_ms for _, chunk in recorder.sent]
    assert captured == [START_MS + 100 * n for n in range(11)]


async def test_live_audio_is_sent_without_delay() -> None:
    recorder = Recorder()
    await recorder.publish(Tone(0.35, live=True))
    # The schedule starts with the first block of 87.5 ms, which was recorded before.
    assert [round(at - 50.0, 4) for at, _ in recorder.sent] == [0.0125, 0.1125, 0.2125, 0.2625]
    assert recorder.sent[0][1].captured_ms == START_MS - 88


async def test_without_real_time_nothing_waits_and_no_capture_time_is_set() -> None:
    recorder = Recorder()
    assert await recorder.publish(Tone(60.0), options=FAST)
    assert {at for at, _ in recorder.sent} == {50.0}
    assert {chunk.captured_ms for _, chunk in recorder.sent} == {None}


async def test_inputs_are_published_concurrently() -> None:
    recorder = Recorder()
    assert await recorder.publish(Tone(1.0), Tone(0.5, AudioFormat(16_000, 2)))
    first, second = recorder.of("stream-0"), recorder.of("stream-1")
    assert sum(len(chunk.payload) for chunk in first) == 8_000 * 2
    assert sum(len(chunk.payload) for chunk in second) == 8_000 * 2 * 2
    ids = [chunk.stream_id for _, chunk in recorder.sent[:10]]
    assert ids == ["stream-0", "stream-1"] * 5
    for chunks in (first, second):
        assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
        assert [chunk.end for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_a_read_error_ends_only_its_own_stream() -> None:
    recorder = Recorder()
    assert not await recorder.publish(Tone(1.0, fails_at_s=0.25), Tone(1.0))
    broken, whole = recorder.of("stream-0"), recorder.of("stream-1")
    assert sum(len(chunk.payload) for chunk in broken) == 3 * 700 * 2
    assert broken[-1].end
    assert sum(len(chunk.payload) for chunk in whole) == 8_000 * 2
    assert "stream-0 tone: read error" in recorder.reports


async def test_an_input_that_cannot_be_opened_concerns_no_other() -> None:
    recorder = Recorder()
    assert not await recorder.publish(Tone(1.0, cannot_be_opened=True), Tone(1.0))
    assert {chunk.stream_id for _, chunk in recorder.sent} == {"stream-1"}
    assert [report for report in recorder.reports if report.startswith("stream-0")] == [
        "stream-0 tone: is missing"
    ]


async def test_a_warning_is_no_failure() -> None:
    recorder = Recorder()
    assert await recorder.publish(Tone(0.35, warning="tone: has 2 audio tracks"))
    assert recorder.reports == [
        "stream-0 started",
        "stream-0 warned tone: has 2 audio tracks",
        "stream-0 ended 0.35 4",
    ]


async def test_an_input_that_is_stopped_is_no_failure() -> None:
    recorder = Recorder(stop_after=2)
    assert await recorder.publish(Tone(1.0, fails_at_s=0.25))
    assert not [report for report in recorder.reports if "error" in report]


async def test_an_input_without_samples_publishes_nothing() -> None:
    recorder = Recorder()
    assert not await recorder.publish(Tone(0.0))
    assert recorder.sent == []
    assert "stream-0 tone: contains no audio" in recorder.reports


async def test_on_stop_every_stream_ends_with_an_end_record() -> None:
    recorder = Recorder(stop_after=4)
    assert await recorder.publish(Tone(3600.0), Tone(3600.0))
    for stream_id in ("stream-0", "stream-1"):
        chunks = recorder.of(stream_id)
        assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
        assert len(chunks) <= 4
        assert chunks[-1].end
        assert chunks[-1].payload == b""
        for chunk, later in pairwise(chunks):
            assert chunk.start is not None
            assert later.start == chunk.start + len(chunk.payload) // 2


async def test_a_publish_error_of_one_stream_ends_all_streams() -> None:
    recorder = Recorder()

    async def fail(chunk: AudioChunk) -> None:
        raise PublishError("no")

    inputs = [InputStream("a", Tone(1.0)), InputStream("b", Tone(1.0))]
    context = PublishContext(fail, recorder.clock, recorder.stop, recorder)
    with pytest.raises(PublishError, match="no"):
        await publish_streams(inputs, FAST, context)
