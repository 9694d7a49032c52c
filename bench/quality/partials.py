"""The share of a text that is stable before its final, and how much of that the final changes.

The folder's clips, each a live stream with partials, through the worker's own partition task,
detector and engine. No broker, and no clock but that of the audio, in which a decode lasts
--decode-s: so a busy machine gives the same figures.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from bench.framework import (
    Advance,
    BenchContext,
    Findings,
    above_zero,
    add_clips,
    add_decoding,
    add_numbers,
)
from bench.live.observations import (
    PlaybackClock,
    ReceivedEvent,
    ReceivedFinal,
    ReceivedPartial,
)
from bench.live.stable_text import (
    stable_checks,
    stable_figures,
    with_partials,
)
from bench.quality.decoding import OfflineDecoder
from bench.quality.recordings import Recording, by_language, evenly_by_language, recordings
from consumer.codecs.reader import AudioRules, read_record
from consumer.core.audio.samples import from_float
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.partition.partition import PartitionTask
from consumer.core.partition.state import PartitionState, Restored
from consumer.core.partition.step import Decode, DecodedRecord, Inputs
from consumer.core.scheduling.jobs import Batch, Job
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Lane, Partition, Record
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from consumer.detection import cascade
from consumer.detection.detector_thread import DetectorThread
from consumer.engine.transcriber_thread import TranscriberThread
from consumer.engine_service import info_of
from consumer.policies import audio_rules, policies
from consumer.settings import Settings
from evaluation.report import Figures, prefixed
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import encode_audio
from schemas.languages import bcp47
from schemas.transcript import TranscriptPartial

STEP_S: Final = 0.1  # of audio, a record each
TAIL_S: Final = 1.0  # silence after a clip, so that it ends the utterance
ROWS: Final = 8  # of a batch
NEW_STREAMS_PER_S: Final = 10_000.0  # all streams begin at once
ALL: Final = "all"
_PARTITION: Final = Partition("speech.audio.v1", 0)
_STEP: Final = round(STEP_S * WHISPER_RATE)


@dataclass(slots=True)
class AudioClockWorker:
    """One partition of a worker, in steps of STEP_S of audio.

    A job is decoded in the step that submits it, and its text arrives `decode_s` later.
    """

    task: PartitionTask
    detector: DetectorThread
    engine: TranscriberThread
    rules: AudioRules
    decode_s: float
    now_s: float = 0.0
    partials: list[ReceivedPartial] = field(default_factory=list)
    finals: list[ReceivedFinal] = field(default_factory=list)
    _requests: list[ScoreRequest] = field(default_factory=list)
    _arriving: list[tuple[float, Decode]] = field(default_factory=list)  # and when each arrives
    _offset: int = 0

    @property
    def is_idle(self) -> bool:
        return not self._arriving

    async def step(self, chunks: Sequence[AudioChunk]) -> None:
        """Take in what the streams publish in one step, and the texts that arrive in it."""
        self.now_s += STEP_S
        arrived = [decode for at_s, decode in self._arriving if at_s <= self.now_s]
        self._arriving = [each for each in self._arriving if each[0] > self.now_s]
        records = [self._record(chunk) for chunk in chunks]
        jobs = self._take(self._inputs(decodes=arrived, records=records))
        while requests := self._requests:
            scores = await self.detector.score(requests)
            jobs += self._take(self._inputs(scores=[*zip(requests, scores, strict=True)]))
        await self._decode(sorted(jobs, key=lambda job: job.utterance.seconds))

    def _take(self, inputs: Inputs) -> list[Job]:
        """Do a step of the task; return its jobs."""
        effects = self.task.step(inputs)
        self._requests = effects.score_requests
        self.partials += (
            ReceivedEvent(self.now_s, event)
            for event in effects.broadcast
            if isinstance(event, TranscriptPartial)
        )
        self.finals += (ReceivedEvent(self.now_s, final) for final in effects.finals)
        return effects.submit

    async def _decode(self, jobs: Sequence[Job]) -> None:
        for start in range(0, len(jobs), ROWS):
            batch = Batch(tuple(jobs[start : start + ROWS]))
            hypotheses = await self.engine.transcribe(batch)
            for job, hypothesis in zip(batch.jobs, hypotheses, strict=True):
                assert isinstance(hypothesis, Hypothesis)  # the clips are good speech
                text = TimedHypothesis(hypothesis, 0, round(1000 * self.decode_s), self._now_ms)
                self._arriving.append((self.now_s + self.decode_s, Decode(job, text)))

    def _record(self, chunk: AudioChunk) -> DecodedRecord:
        key, value, headers = encode_audio(chunk)
        record = Record(_PARTITION, self._offset, self._now_ms, key, value, tuple(headers))
        self._offset += 1
        return read_record(record, self.rules)

    def _inputs(self, **inputs: Any) -> Inputs:
        return Inputs(self.now_s, self._now_ms, **inputs)

    @property
    def _now_ms(self) -> int:
        return round(1000 * self.now_s)


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    settings = Settings(
        model=asked.model,
        dtype=asked.dtype,
        partial_every_s=asked.every_s,
        new_streams_per_s=NEW_STREAMS_PER_S,
    )
    decoder = OfflineDecoder.load(context, settings)
    clips = evenly_by_language(recordings(asked.data, decoder.languages), asked.clips)
    scorer = cascade.load(settings.detector)
    policy = policies(settings, info_of(decoder.transcriber), scorer.segmenter)[Lane.LIVE]
    worker = AudioClockWorker(
        PartitionTask(_PARTITION, 0, policy, Restored(PartitionState(0, 0))),
        DetectorThread(scorer),
        TranscriberThread(
            decoder.transcriber, threads=decoder.threads, timeout_s=settings.engine_timeout_s
        ),
        audio_rules(settings),
        asked.decode_s,
    )
    seconds = max(clip.seconds for clip in clips) + TAIL_S
    with context.progress(seconds) as advance:
        asyncio.run(play(worker, clips, advance))
    parts = dict(_by_language(worker, clips))
    figures: Figures = {}
    for part, found in parts.items():
        figures |= prefixed(f"{part}.", found)
    return Findings(figures, [*stable_checks(parts[ALL])], decoder.measured_on)


async def play(worker: AudioClockWorker, clips: Sequence[Recording], advance: Advance) -> None:
    """Publish all clips at once, and wait for their last finals."""
    streams = [_chunks(clip) for clip in clips]
    async with worker.detector, worker.engine:
        while streams or not worker.is_idle:
            chunks = [(stream, next(stream, None)) for stream in streams]
            streams = [stream for stream, chunk in chunks if chunk is not None]
            await worker.step([chunk for _, chunk in chunks if chunk is not None])
            advance(STEP_S, f"{len(streams)} streams")


def _chunks(clip: Recording) -> Iterator[AudioChunk]:
    samples = from_float(np.pad(clip.samples, (0, round(TAIL_S * WHISPER_RATE))))
    options = StreamOptions(languages=(bcp47(clip.language),), partials=True)
    count = -(-len(samples) // _STEP)
    for seq in range(count):
        yield AudioChunk(
            clip.name,
            samples[seq * _STEP : (seq + 1) * _STEP].tobytes(),
            rate=WHISPER_RATE,
            channels=1,
            seq=seq,
            end=seq == count - 1,
            options=options,
        )


def _by_language(
    worker: AudioClockWorker, clips: Sequence[Recording]
) -> Iterator[tuple[str, Figures]]:
    """Yield the figures of each language, and of all."""
    clocks = {clip.name: PlaybackClock(0.0, 1.0) for clip in clips}
    groups = {
        language: {clips[at].name for at in group}
        for language, group in sorted(by_language(clips).items())
    }
    for name, streams in (groups | {ALL: {*clocks}}).items():
        finals = [final for final in worker.finals if final.event.stream_id in streams]
        yield name, stable_figures(with_partials(finals, worker.partials), clocks)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_decoding(parser)
    add_clips(parser)
    add_numbers(
        parser,
        ("every-s", above_zero, 0.7, "seconds of new audio between two partials"),
        ("decode-s", above_zero, 0.2, "seconds that a decode lasts"),
    )
