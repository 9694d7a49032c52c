"""How much of a text is stable before its final, and how much of that the final changes.

The folder's clips, each a live stream with partials, through the worker's own partition task and
engine: cut, drafted and agreed upon as they are there. No broker, and no clock but the audio's, in
which a decode lasts --decode-s: so a busy machine gives the same figures.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import options
from bench.live import measures
from bench.live.findings import PARTIALS
from bench.live.heard import Axis, Partial
from bench.live.heard import Final as FinalHeard
from bench.live.stable import Promises, promises, stories
from bench.machine import machine
from bench.progress import Advance, progress
from bench.recordings import SCORED, Recording, recordings, thinned
from consumer.codecs.decode import decode
from consumer.core.audio.samples import from_float
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.partition.partition import PartitionTask
from consumer.core.partition.state import PartitionState, Restored
from consumer.core.scheduling.jobs import Batch, Job, JobKind
from consumer.core.streams.records import Lane, Partition, Record
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.detection import cascade
from consumer.detection.detector_thread import DetectorThread
from consumer.engine.local import LocalEngine
from consumer.inference.device import usable_cores
from consumer.model_loading import load_transcriber
from consumer.service import policies
from consumer.settings import Settings
from evaluation.report import Figures, publish, table
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import encode_audio
from schemas.languages import bcp47
from schemas.transcript import TranscriptFinal

STEP_S: Final = 0.1  # of audio, a record each
TAIL_S: Final = 1.0  # silence behind a clip, so that it ends the utterance
ROWS: Final = 8  # of a batch
MOST_STREAMS: Final = 10_000.0  # that may begin at once
ALL: Final = "all"
_PARTITION: Final = Partition("speech.audio.v1", 0)
_STEP: Final = round(STEP_S * WHISPER_RATE)


def main(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(argv)
    console = Console()
    threads = asked.threads or usable_cores()
    settings = Settings(
        model=asked.model,
        dtype=asked.dtype,
        partial_every_s=asked.every_s,
        new_streams_per_s=MOST_STREAMS,
    )
    transcriber = load_transcriber(settings)
    spoken = recordings(asked.data, {*SCORED} & transcriber.languages)
    clips = [
        clip
        for language in SCORED
        for clip in thinned([each for each in spoken if each.language == language], asked.clips)
    ]
    scorer = cascade.load(settings.detector)
    policy = policies(settings, transcriber, scorer.segmenter, decode)[Lane.LIVE]
    task = PartitionTask(_PARTITION, 0, policy, Restored(PartitionState(0, 0)))
    detector = DetectorThread(scorer)
    engine = LocalEngine(transcriber, threads=threads, timeout_s=settings.engine_timeout_s)
    play = _Play(task, detector, engine, clips, asked.decode_s)
    with progress(console, play.seconds) as advance:
        asyncio.run(play.run(advance))
    found = {name: measures.stable_figures(kept) for name, kept in _kept(play)}
    console.print(_table(found))
    where = machine(transcriber.info.dtype, threads) | {"model": transcriber.info.name}
    told = {f"{name}.{key}": value for name, part in found.items() for key, value in part.items()}
    publish(console, asked.json, where, told, measures.stable_checks(found[ALL]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = options.parser("partials", __doc__)
    options.add_data(parser)
    options.add_model(parser)
    options.add_dtype(parser)
    options.add_clips(parser)
    for flag, default, told in (
        ("every-s", 0.7, "new audio between two partials"),
        ("decode-s", 0.2, "that a decode lasts"),
    ):
        parser.add_argument(
            f"--{flag}",
            type=options.above_zero,
            default=default,
            metavar="S",
            help=f"{told} (default: {default})",
        )
    return parser


@dataclass(frozen=True, slots=True)
class _Due:
    """A text that is known, to whom it may concern, from a moment of the audio on."""

    at_s: float
    job: Job
    text: TimedHypothesis


@dataclass(slots=True)
class _Play:
    """All clips at once, from their first sample to their last."""

    task: PartitionTask
    detector: DetectorThread
    engine: LocalEngine
    clips: Sequence[Recording]
    decode_s: float
    partials: list[Partial] = field(default_factory=list)
    finals: list[FinalHeard] = field(default_factory=list)
    _due: list[_Due] = field(default_factory=list)
    _again: list[Job] = field(default_factory=list)
    _offset: int = 0

    @property
    def seconds(self) -> float:
        return max(clip.seconds for clip in self.clips) + TAIL_S

    async def run(self, advance: Advance) -> None:
        sounds = {clip: _chunks(clip) for clip in self.clips}
        now_s = 0.0
        async with self.detector, self.engine:
            while sounds or self._due or self._again:
                now_s += STEP_S
                for clip, chunks in list(sounds.items()):
                    if (chunk := next(chunks, None)) is None:
                        del sounds[clip]
                    else:
                        self._ingest(chunk, now_s)
                await self._step(now_s)
                advance(STEP_S, f"{len(sounds)} streams")

    def _ingest(self, chunk: AudioChunk, now_s: float) -> None:
        key, value, headers = encode_audio(chunk)
        time_ms = round(1000 * now_s)
        record = Record(_PARTITION, self._offset, time_ms, key, value, tuple(headers))
        self._offset += 1
        self.task.ingest(record, now_s)

    async def _step(self, now_s: float) -> None:
        """As the pipeline does it: texts that have come, then what is to be decoded."""
        arrived = [due for due in self._due if due.at_s <= now_s]
        self._due = [due for due in self._due if due.at_s > now_s]
        for due in arrived:
            self._finish(due, now_s)
        while asked := self.task.score_requests():
            scores = await self.detector.score(asked)
            for request, probabilities in zip(asked, scores, strict=True):
                self.task.on_scores(request, probabilities)
        jobs, finals = self.task.jobs(now_s, round(1000 * now_s))
        self._tell(finals, now_s)
        drafts, _ = self.task.interim_jobs(now_s)
        again, self._again = self._again, []
        for kind in ([*again], [*jobs, *drafts]):  # attempts of one kind in a batch
            await self._decode(kind, now_s)

    async def _decode(self, jobs: Sequence[Job], now_s: float) -> None:
        ordered = sorted(jobs, key=lambda job: job.utterance.seconds)
        for start in range(0, len(ordered), ROWS):
            batch = Batch(tuple(ordered[start : start + ROWS]))
            hypotheses = await self.engine.transcribe(batch)
            for job, hypothesis in zip(batch.jobs, hypotheses, strict=True):
                text = TimedHypothesis(
                    hypothesis, 0, round(1000 * self.decode_s), round(1000 * now_s)
                )
                self._due.append(_Due(now_s + self.decode_s, job, text))

    def _finish(self, due: _Due, now_s: float) -> None:
        job, text = due.job, due.text
        if job.kind is JobKind.INTERIM:
            partial, is_final = self.task.on_interim(job, text)
            if partial is not None:
                self.partials.append(Partial(now_s, partial))
            if not is_final:
                return
        if tried := text.hypothesis.earlier:
            self._again.append(replace(job, kind=JobKind.FINAL, earlier=tried))
            return
        jobs, finals = self.task.on_decoded(job.id, text, now_s)
        self._again += jobs
        self._tell(finals, now_s)

    def _tell(self, finals: Sequence[TranscriptFinal], now_s: float) -> None:
        self.finals += [
            FinalHeard(each.stream_id, each.start_s, each.end_s, each.text, now_s, each)
            for each in finals
        ]


def _chunks(clip: Recording) -> Iterator[AudioChunk]:
    sound = from_float(np.pad(clip.samples, (0, round(TAIL_S * WHISPER_RATE))))
    asked = StreamOptions(languages=(bcp47(clip.language),), partials=True)
    count = -(-len(sound) // _STEP)
    for seq in range(count):
        yield AudioChunk(
            clip.name,
            sound[seq * _STEP : (seq + 1) * _STEP].tobytes(),
            rate=WHISPER_RATE,
            channels=1,
            seq=seq,
            end=seq == count - 1,
            options=asked,
        )


def _kept(play: _Play) -> Iterator[tuple[str, Promises]]:
    """By language, and of all."""
    axes = {clip.name: Axis(0.0, 1.0) for clip in play.clips}
    for language in sorted({clip.language for clip in play.clips}):
        names = {clip.name for clip in play.clips if clip.language == language}
        finals = [final for final in play.finals if final.stream_id in names]
        yield language, promises(stories(play.partials, finals), axes)
    yield ALL, promises(stories(play.partials, play.finals), axes)


def _table(found: Mapping[str, Figures]) -> Table:
    keys = [key for key in PARTIALS if key in found[ALL]]
    title = "stable text: delay in s, p50; shares of words or characters"
    shown = table(title, "", "partials", *(PARTIALS[key] for key in keys))
    for name, part in found.items():
        shown.add_row(name, str(part["partials"]), *(f"{part[key]:.3g}" for key in keys))
    return shown
