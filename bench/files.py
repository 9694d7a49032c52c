"""Files through `streamscribe transcribe`, beside the engine alone: speed, error rates, memory.

clips   all clips of a language, transcribed as files, and by the engine in batches of eight whole
        clips with word times; both read the same language
long    one file of that many minutes, the clips with a second of silence after each: its memory
        beside that of the process before it
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import soundfile

from bench import framework
from bench.checkpoints import languages, requested_checkpoint, requested_threads
from bench.engine.engines.catalog import streamscribe
from bench.engine.layouts import written
from bench.engine.memory import resident
from bench.engine.worker import EngineRunner, Pass, own_process
from bench.framework import BenchContext, Findings
from bench.quality.recordings import SCORED, Recording, read, recordings, scores, spoken_samples
from consumer.core.audio.utterance import WHISPER_RATE
from evaluation.report import Check, Figures, Sense
from evaluation.samples import SampleClip
from evaluation.scoring import total
from offline.transcriber import OfflineTranscriber
from transport.arguments import positive

BATCH: Final = 8  # clips of the engine alone
MIN_SHARE: Final = 0.85  # target: of the engine's speed
MAX_GROWN_MB: Final = 300.0  # target: memory of a long file, beyond that of short ones
_PAUSE: Final = np.zeros(WHISPER_RATE, np.int16)


@dataclass(frozen=True, slots=True)
class ClipRound:
    """Audio seconds per second, of one round."""

    files: float
    engine: float


@dataclass(frozen=True, slots=True)
class LanguageResult:
    """What was measured for one language."""

    language: str
    rounds: Sequence[ClipRound]
    files_error: float  # per word or character
    engine_error: float

    @property
    def share(self) -> float:
        return median(one.files / one.engine for one in self.rounds)

    def figures(self) -> Figures:
        return {
            f"{self.language}.rtfx": median(one.files for one in self.rounds),
            f"{self.language}.engine_rtfx": median(one.engine for one in self.rounds),
            f"{self.language}.share_of_engine": self.share,
            f"{self.language}.error_percent": 100 * self.files_error,
            f"{self.language}.engine_error_percent": 100 * self.engine_error,
        }


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    path, checkpoint = requested_checkpoint(context)
    threads = requested_threads(context)
    scored = [language for language in SCORED if language in languages(checkpoint)]
    figures: Figures = {}
    checks: list[Check] = []
    with (
        written(path, checkpoint, ()) as weights,
        OfflineTranscriber(str(path), dtype=asked.dtype, threads=threads) as transcriber,
    ):
        runner = EngineRunner(context, weights, partial(own_process, threads))
        for language in scored:
            result = _clips(context, runner, transcriber, language)
            figures |= result.figures()
            checks.append(
                Check(f"{language}.share_of_engine", result.share, MIN_SHARE, Sense.AT_LEAST)
            )
        if asked.long_minutes:
            long = _long(asked.data, asked.long_minutes, transcriber)
            figures |= long
            grown_mb = float(long["long.grown_mb"] or 0)
            checks.append(Check("long.grown_mb", grown_mb, MAX_GROWN_MB))
    machine = framework.machine(asked.dtype, threads, model=checkpoint.name)
    return Findings(figures, checks, machine)


def _clips(
    context: BenchContext, runner: EngineRunner, transcriber: OfflineTranscriber, language: str
) -> LanguageResult:
    """Measure files and engine in turns."""
    asked = context.arguments
    clips = recordings(asked.data, {language})
    samples = spoken_samples(asked.data, {language})
    # As the engine's bench has them: in the order of their length.
    order = sorted(range(len(clips)), key=lambda at: len(clips[at].samples))
    clips, samples = [clips[at] for at in order], [samples[at] for at in order]
    variant = streamscribe(asked.dtype)
    work = Pass(variant, clips, BATCH, words=True)
    rounds = []
    with runner.start(variant) as worker, context.progress(2 * asked.rounds * work.audio_s) as bar:
        worker.transcribe(clips[:BATCH], words=True)
        for _ in range(asked.rounds):
            timed = worker.run(work, bar)
            began = time.perf_counter()
            texts = _texts(transcriber, samples)
            files_s = time.perf_counter() - began
            bar(work.audio_s, "files")
            rounds.append(ClipRound(work.audio_s / files_s, work.audio_s / timed.wall_s))
    engine_error = _error_rate(clips, [each.text for each in timed.texts])
    return LanguageResult(language, rounds, _error_rate(clips, texts), engine_error)


def _texts(transcriber: OfflineTranscriber, samples: Iterable[SampleClip]) -> list[str]:
    found = [*samples]
    transcripts = transcriber.transcribe_all((s.path for s in found), language=found[0].language)
    return [" ".join(each.text.split("\n")) for each in transcripts]


def _error_rate(clips: Sequence[Recording], texts: Sequence[str]) -> float:
    return total(scores(clips, texts)).rate


def _long(data: Path, minutes: int, transcriber: OfflineTranscriber) -> Figures:
    before = resident()
    with _long_file(data, minutes) as file:
        began = time.perf_counter()
        transcript = transcriber.transcribe(file)
        wall_s = time.perf_counter() - began
    return {
        "long.minutes": minutes,
        "long.rtfx": transcript.seconds / wall_s,
        "long.segments": len(transcript.segments),
        "long.before_mb": before.now_mb,
        "long.peak_mb": (after := resident()).peak_mb,
        "long.grown_mb": max(0.0, after.peak_mb - before.peak_mb),
    }


@contextmanager
def _long_file(data: Path, minutes: int) -> Iterator[Path]:
    """Write the clips into one file, again and again, until it is long enough."""
    paths = [sample.path for sample in spoken_samples(data, SCORED)]
    with TemporaryDirectory(prefix="streamscribe-bench-") as folder:
        file = Path(folder, "long.flac")
        with soundfile.SoundFile(file, "w", WHISPER_RATE, 1) as writer:
            for path in cycle(paths):
                writer.write(np.concatenate((read(path), _PAUSE)))
                if writer.frames >= 60 * minutes * WHISPER_RATE:
                    break
        yield file


def arguments(parser: argparse.ArgumentParser) -> None:
    framework.add_decoding(parser)
    framework.add_numbers(parser, ("rounds", positive, 3, "of which medians are"))
    parser.add_argument(
        "--long-minutes", type=positive, metavar="N", help="length of the long file (default: none)"
    )
