"""Inputs through the real pipeline, with doubles of detector and model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from builders import RATE, audio_of, loud, loud_stretches, quiet
from echo_service import echo_service
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.utterance import Int16Array
from consumer.core.scheduling.jobs import Batch
from consumer.core.streams.records import Record
from consumer.core.streams.stream import Stream
from consumer.core.text.hypothesis import Hypothesis
from consumer.errors import DeviceLost
from consumer.testing import EchoEngine
from offline.cutting import RECORDS as CUT
from offline.errors import TranscriptionError
from offline.input_log import AHEAD, KEPT
from offline.record_log import RecordLog
from offline.samples import SampleSource
from offline.service import READ, OfflineService
from offline.shells import RECORDS
from offline.transcript import Transcript
from producer.errors import MediaError
from producer.formats import AudioFormat, Float32Array
from producer.media import BlockingAudio
from schemas.audio import StreamOptions
from schemas.transcript import StreamEnded, StreamStarted, TranscriptFinal

QUEUE_S = 30.0  # of speech that may wait for the model
RUNS = st.lists(st.tuples(st.booleans(), st.integers(700, 3_000)), min_size=1, max_size=8)


def source(samples: Int16Array, rate: int = RATE) -> SampleSource:
    return SampleSource(samples, rate)


@dataclass
class Blocks:
    """An input of blocks, which counts how many were read and may fail after them."""

    blocks: Sequence[Int16Array]
    failure: str | None = None
    name: str = "blocks.wav"
    seconds: float | None = None
    read: int = 0
    closed: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    @contextmanager
    def reading(self, stopped: Callable[[], bool]) -> Iterator[BlockingAudio]:
        try:
            yield BlockingAudio(AudioFormat(RATE, 1), self._each())
        finally:
            self.closed = True

    def _each(self) -> Iterator[Float32Array]:
        for block in self.blocks:
            self.read += 1
            self.loop.call_soon_threadsafe(self.begun.set)
            yield block.reshape(-1, 1) / np.float32(32_768)
        if self.failure:
            raise MediaError(f"{self.name}: {self.failure}")


@given(st.lists(RUNS, min_size=1, max_size=3))
def test_inputs_together_have_the_texts_of_each_alone(inputs: list[list[tuple[bool, int]]]):
    audios = [audio_of(runs) for runs in inputs]

    async def together() -> list[Transcript]:
        async with echo_service() as service:
            return await asyncio.gather(*(service.transcribe(source(each)) for each in audios))

    async def alone(audio: Int16Array) -> Transcript:
        async with echo_service() as service:
            return await service.transcribe(source(audio))

    for audio, transcript in zip(audios, asyncio.run(together()), strict=True):
        assert positions(transcript) == positions(asyncio.run(alone(audio)))
        assert transcript.seconds == len(audio) / RATE
        assert not transcript.problems
        covered = np.zeros(len(audio), bool)
        for start, end in positions(transcript):
            covered[start:end] = True
        assert all(covered[start:end].all() for start, end in loud_stretches(audio))


def positions(transcript: Transcript) -> list[tuple[int, int]]:
    return [(final.start_sample, final.end_sample) for final in transcript.segments]


async def test_the_events_are_those_of_a_worker_in_order():
    async with echo_service() as service:
        speech = source(np.concatenate([quiet(1), loud(2), quiet(1), loud(1)]))
        transcript = await service.transcribe(speech, StreamOptions(languages=("en",)))
    kinds = [type(event) for event in transcript.events]
    assert kinds == [StreamStarted, TranscriptFinal, TranscriptFinal, StreamEnded]
    assert [event.index for event in transcript.events] == [0, 1, 2, 3]
    assert transcript.language == "en"
    assert transcript.text.count("\n") == 1


async def test_the_progress_advances_with_the_finals():
    seconds: list[float] = []
    async with echo_service() as service:
        speech = source(np.concatenate([loud(2), quiet(1)] * 3))
        transcript = await service.transcribe(speech, on_progress=seconds.append)
    assert seconds == [final.end_s for final in transcript.segments]


async def test_an_input_is_read_no_further_than_the_model_will_need_soon():
    """Before each batch, all others may go on as far as they can: no hour is read in advance."""
    long = Blocks([np.concatenate([loud(5), quiet(1)])] * 600)
    leads_s: list[float] = []

    class Slow(EchoEngine):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            for _ in range(50):
                await asyncio.to_thread(int)
            newest_s = max(job.utterance.end for job in batch.jobs) / RATE
            leads_s.append(6 * long.read - newest_s)
            return await super().transcribe(batch)

    async with echo_service(Slow(), queue_s=QUEUE_S) as service:
        transcript = await service.transcribe(long)
    assert transcript.seconds == 3600
    assert len(transcript.segments) == 600
    # What waits for the model, what is cut and not yet read, and the utterance and block under way.
    assert max(leads_s) <= QUEUE_S + 2 * RECORDS + AHEAD + 2 * CUT + 60


async def test_silence_is_not_kept(monkeypatch: pytest.MonkeyPatch):
    """Twenty minutes without a final: commits of progress alone make room."""
    kept: list[int] = []
    append = RecordLog.append

    def noted(self: RecordLog, records: Sequence[Record]) -> None:
        append(self, records)
        kept.append(len(self))

    monkeypatch.setattr(RecordLog, "append", noted)
    async with echo_service() as service:
        transcript = await service.transcribe(Blocks([quiet(60)] * 20))
    assert transcript.seconds == 1200
    assert max(kept) < KEPT + CUT


async def test_many_short_inputs_fill_the_batches():
    """While the model is busy, further inputs are read: more than are read at the same time."""

    class Slow(EchoEngine):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            for _ in range(50):
                await asyncio.to_thread(int)
            return await super().transcribe(batch)

    engine = Slow()
    async with echo_service(engine) as service:
        await asyncio.gather(*(service.transcribe(source(loud(1))) for _ in range(60)))
    assert max(len(batch) for batch in engine.batches) > READ


async def test_what_is_read_before_damage_is_transcribed():
    async with echo_service() as service:
        transcript = await service.transcribe(Blocks([loud(2), quiet(1)], failure="damaged"))
    assert len(transcript.segments) == 1
    assert transcript.problems == ("blocks.wav: damaged",)


@pytest.mark.parametrize("failure", ["cannot be read", None])
async def test_an_input_without_audio_is_an_error_and_others_go_on(failure: str | None):
    async with echo_service() as service:
        empty = Blocks([], failure)
        with pytest.raises(MediaError, match=failure or "contains no audio"):
            await service.transcribe(empty)
        assert empty.closed
        assert len((await service.transcribe(source(loud(1)))).segments) == 1


async def test_a_cancelled_input_is_closed_and_others_go_on():
    async with echo_service() as service:
        forever = Blocks([loud(1)] * 100_000)
        task = asyncio.ensure_future(service.transcribe(forever))
        await forever.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert forever.closed
        assert len((await service.transcribe(source(loud(1)))).segments) == 1


async def test_what_ends_the_model_is_the_error_of_every_input():
    class Lost(EchoEngine):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            raise DeviceLost("the device is gone")

    async def attempt(service: OfflineService) -> None:
        with pytest.raises(DeviceLost, match="the device is gone"):
            await service.transcribe(source(loud(1)))

    async def serve_until_it_fails() -> None:
        async with echo_service(Lost()) as service:
            attempts.extend(asyncio.ensure_future(attempt(service)) for _ in range(2))
            services.append(service)
            await asyncio.Event().wait()

    attempts: list[asyncio.Future[None]] = []
    services: list[OfflineService] = []
    with pytest.raises(ExceptionGroup):
        await serve_until_it_fails()
    await asyncio.gather(*attempts)
    await attempt(services[0])


async def test_the_fault_of_one_input_does_not_concern_the_others(
    monkeypatch: pytest.MonkeyPatch,
):
    push = Stream.push

    def faulty(self: Stream, chunk: object) -> bool:
        if self.stream_id == "bad":
            raise ZeroDivisionError
        return push(self, chunk)

    monkeypatch.setattr(Stream, "push", faulty)
    async with echo_service() as service:
        bad = Blocks([loud(1)] * 3, name="bad.wav")
        results = await asyncio.gather(
            service.transcribe(bad), service.transcribe(source(loud(2))), return_exceptions=True
        )
    assert isinstance(results[0], TranscriptionError)
    assert isinstance(results[1], Transcript)
    assert len(results[1].segments) == 1
