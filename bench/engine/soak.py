"""Memory over a long time of decoding: batches of all sizes and languages, words on and off.

Memory has to stay flat once every clip was decoded in the largest batches. What the engine holds is
counted from where the interpreter, torch and the clips were before any of it was loaded.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench.engine.memory import resident
from bench.framework import (
    BenchContext,
    Findings,
    above_zero,
    add_decoding,
    add_numbers,
    machine,
)
from bench.quality.recordings import Recording, batches, recordings
from consumer.core.scheduling.capacity import BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.engine.transcriber_thread import Transcriber
from consumer.inference.device import choose, set_threads, usable_cores
from evaluation.report import Check, Figures
from weights.resolve import Resolved, resolve_here

MAX_SPREAD: Final = 0.02  # target: of memory, as a share of its median
MAX_HELD_MB: Final = {"base": 1_000.0}  # target: over the interpreter and torch
ROWS: Final = 16  # of the largest batch
SEED: Final = 30


@dataclass(frozen=True, slots=True)
class MemorySeries:
    """Resident memory, in MB of 10^6 bytes, and what was done meanwhile."""

    before_mb: float  # interpreter, torch and clips
    steady_mb: tuple[float, ...]  # after each batch, once every clip was decoded
    audio_s: float  # decoded since then
    wall_s: float

    @property
    def spread(self) -> float:
        """(most - least) / median."""
        ranked = sorted(self.steady_mb)
        return (ranked[-1] - ranked[0]) / ranked[len(ranked) // 2]

    @property
    def held_mb(self) -> float:
        return max(self.steady_mb) - self.before_mb


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    threads = asked.threads or usable_cores()
    set_threads(threads)  # loads torch, before memory is read for the first time
    resolved = resolve_here(asked.model, os.environ, context.console)
    clips = recordings(asked.data)
    before_mb = resident().now_mb
    transcriber = _transcriber(resolved, asked.dtype)
    known = [clip for clip in clips if clip.language in transcriber.languages]
    series = _soak(context, transcriber, known, before_mb)
    return Findings(
        figures(series),
        [*checks(series, resolved.name)],
        measured_on=machine(transcriber.info.dtype, threads, model=resolved.name),
    )


def _transcriber(resolved: Resolved, dtype: str) -> Transcriber:
    """Load the worker's transcriber; its imports are late, so that they count as held."""
    from consumer.inference.checkpoint import load
    from consumer.inference.whisper_engine import WhisperTranscriber

    checkpoint = load(resolved.path, sha256=resolved.sha256)
    transcriber = WhisperTranscriber(
        checkpoint, choose("auto", dtype), fold=True, limits=BatchLimits(ROWS, 8192)
    )
    transcriber.warm_up()
    return transcriber


def _soak(
    context: BenchContext,
    transcriber: Transcriber,
    clips: Sequence[Recording],
    before_mb: float,
) -> MemorySeries:
    """Decode all clips once in the largest batches, then at random until the time is over."""
    limit_s, rng = 60 * context.arguments.minutes, random.Random(SEED)
    for batch in batches(sorted(clips, key=lambda clip: -len(clip.samples)), ROWS):
        transcriber.transcribe([_request(clip, words=True) for clip in batch])
    steady_mb, audio_s, started, now = [], 0.0, time.monotonic(), 0.0
    with context.progress(limit_s) as advance:
        while now < limit_s:
            batch = rng.choices(clips, k=rng.randint(1, ROWS))
            transcriber.transcribe([_request(clip, words=rng.random() < 0.5) for clip in batch])
            steady_mb.append(resident().now_mb)
            audio_s += sum(clip.seconds for clip in batch)
            last, now = now, time.monotonic() - started
            advance(now - last, f"{steady_mb[-1]:.0f} MB")
    return MemorySeries(before_mb, tuple(steady_mb), audio_s, now)


def _request(clip: Recording, *, words: bool) -> DecodeRequest:
    return DecodeRequest(clip.samples, (clip.language,), words=words)


def figures(series: MemorySeries) -> Figures:
    return {
        "wall_s": series.wall_s,
        "audio_s": series.audio_s,
        "batches": len(series.steady_mb),
        "before_mb": series.before_mb,
        "first_mb": series.steady_mb[0],
        "least_mb": min(series.steady_mb),
        "most_mb": max(series.steady_mb),
        "last_mb": series.steady_mb[-1],
        "held_mb": series.held_mb,
        "spread": series.spread,
    }


def checks(series: MemorySeries, model: str) -> Iterator[Check]:
    yield Check("spread", series.spread, MAX_SPREAD)
    if most := MAX_HELD_MB.get(model):
        yield Check("held_mb", series.held_mb, most)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_decoding(parser)
    add_numbers(parser, ("minutes", above_zero, 30.0, "after the first pass over all clips"))
