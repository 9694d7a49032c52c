"""Memory over a long time of decoding: batches of all sizes and languages, words on and off.

Flat is what counts once every clip was decoded in the largest batches. What the engine holds is
counted from where the interpreter, torch and the clips stood before any of it was loaded.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from bench import options
from bench.machine import machine
from bench.memory import resident
from bench.progress import progress
from bench.recordings import Recording, batches, recordings
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.engine.local import Transcriber
from consumer.inference.device import choose, set_threads, usable_cores
from evaluation.report import Check, Figures, publish, table
from weights.resolve import Resolved

MOST_SPREAD: Final = 0.02  # of memory, as a share of its median; issue B
MOST_HELD_MB: Final = {"base": 1_000.0}  # over the interpreter and torch; issue B
ROWS: Final = 16  # of the largest batch
SEED: Final = 30


@dataclass(frozen=True, slots=True)
class Soaked:
    """Resident memory, MB of 10^6 bytes, and what was done meanwhile."""

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


def main(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(argv)
    console = Console()
    threads = asked.threads or usable_cores()
    set_threads(threads)  # torch is in memory from here on
    resolved = options.weights(asked.model, console)
    clips = recordings(asked.data)
    before_mb = resident().now_mb
    engine = _engine(resolved, asked.dtype)
    known = [clip for clip in clips if clip.language in engine.languages]
    soaked = _soak(engine, known, before_mb, 60 * asked.minutes, console)
    console.print(_table(soaked))
    where = machine(engine.info.dtype, threads) | {"model": resolved.name}
    publish(console, asked.json, where, figures(soaked), checks(soaked, resolved.name))
    return 0


def _engine(resolved: Resolved, dtype: str) -> Transcriber:
    """As the worker has it, fallback included; its imports are counted as its own."""
    from consumer.inference.checkpoint import load
    from consumer.inference.whisper_engine import WhisperTranscriber

    checkpoint = load(resolved.path, sha256=resolved.sha256)
    engine = WhisperTranscriber(checkpoint, choose("auto", dtype), fold=True, max_rows=ROWS)
    engine.warm_up()
    return engine


def _soak(
    engine: Transcriber,
    clips: Sequence[Recording],
    before_mb: float,
    limit_s: float,
    console: Console,
) -> Soaked:
    """Once all clips in the largest batches, then at random until the time is over."""
    chosen = random.Random(SEED)
    for batch in batches(sorted(clips, key=lambda clip: -len(clip.samples)), ROWS):
        engine.transcribe([_clip(clip, words=True) for clip in batch])
    steady_mb, audio_s, begun, now = [], 0.0, time.monotonic(), 0.0
    with progress(console, limit_s) as advance:
        while now < limit_s:
            batch = chosen.choices(clips, k=chosen.randint(1, ROWS))
            engine.transcribe([_clip(clip, words=chosen.random() < 0.5) for clip in batch])
            steady_mb.append(resident().now_mb)
            audio_s += sum(clip.seconds for clip in batch)
            last, now = now, time.monotonic() - begun
            advance(now - last, f"{steady_mb[-1]:.0f} MB")
    return Soaked(before_mb, tuple(steady_mb), audio_s, now)


def _clip(clip: Recording, *, words: bool) -> DecodeRequest:
    return DecodeRequest(clip.samples, (clip.language,), words=words)


def figures(soaked: Soaked) -> Figures:
    return {
        "wall_s": soaked.wall_s,
        "audio_s": soaked.audio_s,
        "batches": len(soaked.steady_mb),
        "before_mb": soaked.before_mb,
        "first_mb": soaked.steady_mb[0],
        "last_mb": soaked.steady_mb[-1],
        "least_mb": min(soaked.steady_mb),
        "most_mb": max(soaked.steady_mb),
        "held_mb": soaked.held_mb,
        "spread": soaked.spread,
    }


def checks(soaked: Soaked, model: str) -> Iterator[Check]:
    yield Check("spread", soaked.spread, MOST_SPREAD)
    if most := MOST_HELD_MB.get(model):
        yield Check("held_mb", soaked.held_mb, most)


def _table(soaked: Soaked) -> Table:
    shown = table(
        f"resident memory, MB, over {soaked.wall_s / 60:.1f} min of decoding",
        *("before", "first", "least", "most", "last", "held", "spread"),
    )
    held = (soaked.before_mb, soaked.steady_mb[0], min(soaked.steady_mb), max(soaked.steady_mb))
    rest = (soaked.steady_mb[-1], soaked.held_mb)
    shown.add_row(*(f"{value:.0f}" for value in (*held, *rest)), f"{soaked.spread:.1%}")
    return shown


def _parser() -> argparse.ArgumentParser:
    parser = options.parser("soak", __doc__)
    options.add_data(parser)
    options.add_model(parser)
    options.add_dtype(parser)
    parser.add_argument(
        "--minutes",
        type=options.above_zero,
        default=30.0,
        metavar="N",
        help="after the first pass over all clips (default: 30)",
    )
    return parser
