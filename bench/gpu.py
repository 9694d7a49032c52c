"""Speed, latency and memory of a model of one shape on the best device of this machine.

Weights are random unless some are named, so nothing has to be fetched: speed hangs on the shape
alone. Random weights hear noise and write texts of a set length.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median
from typing import Final

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench import options
from bench.engines.ours import Ours
from bench.machine import machine
from bench.memory import resident
from bench.progress import Advance, progress
from bench.recordings import cut, recordings
from bench.shapes import SHAPES, random_checkpoint
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array
from consumer.errors import OutOfMemory
from consumer.inference.checkpoint import Checkpoint, load
from consumer.inference.device import Device, choose, set_threads, usable_cores
from evaluation.percentiles import percentile
from evaluation.report import Check, Figures, Sense, publish, table
from transport.arguments import positive

LEAST_RTFX: Final = {"turbo": 3_500.0, "large-v3": 2_000.0}  # folded, at 4 s, on a GPU: issue B
MOST_IDLE_MS: Final = {"turbo": 20.0}
IDLE_FINALS: Final = 20  # one after the other
SEED: Final = 16


@dataclass(frozen=True, slots=True)
class Way:
    """The model run folded or padded."""

    name: str
    rtfx: Mapping[int, float | None]  # by batch; None: it did not fit into memory
    words_cost: float | None  # share of time that word times add to the largest batch that fitted
    idle_ms: tuple[float, ...]  # of clips that come alone

    @property
    def best_rtfx(self) -> float:
        return max((value for value in self.rtfx.values() if value), default=0.0)


def main(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(argv)
    console = Console()
    threads = asked.threads or usable_cores()
    set_threads(threads)
    device = choose("auto", asked.dtype)
    checkpoint = _checkpoint(asked, device, console)
    clips = _clips(asked)
    with progress(console, 2 * (len(asked.batch) + 2)) as advance:
        ways = [
            measure(name, Ours(checkpoint, device, fold=folded), clips, asked, advance)
            for name, folded in (("folded", True), ("padded", False))
        ]
    console.print(_table(ways, f"{checkpoint.name}, clips of {asked.utterance_s:g} s"))
    where = machine(device.numbers, threads)
    where |= {"model": checkpoint.name, "weights": asked.model or "random"}
    publish(console, asked.json, where, figures(ways, device), checks(asked.shape, ways, device))
    return 0


def _checkpoint(asked: argparse.Namespace, device: Device, console: Console) -> Checkpoint:
    if asked.model is None:
        dims = SHAPES[asked.shape]
        return random_checkpoint(asked.shape, dims, asked.tokens, device.device, device.dtype)
    resolved = options.weights(asked.model, console)
    return load(resolved.path, sha256=resolved.sha256)


def _clips(asked: argparse.Namespace) -> list[Float32Array]:
    """As many as the largest batch, all of one length: speech for real weights, else noise."""
    count, length = max(asked.batch), int(asked.utterance_s * WHISPER_RATE)
    if asked.model is None:
        noise = np.random.default_rng(SEED).standard_normal((count, length), np.float32)
        return [*(0.1 * noise)]
    spoken = [clip.samples for clip in cut(recordings(asked.data, {"en"}), asked.utterance_s)]
    full = [samples for samples in spoken if len(samples) == length]
    return [*islice(cycle(full or [np.resize(spoken[0], length)]), count)]


def measure(
    name: str,
    engine: Ours,
    clips: Sequence[Float32Array],
    asked: argparse.Namespace,
    advance: Advance,
) -> Way:
    wall_s: dict[int, float | None] = {}
    for size in asked.batch:
        wall_s[size] = _typical_s(engine, clips[:size], asked.rounds)
        advance(1, f"{name}, batch of {size}")
    cost = _words_cost(engine, clips, wall_s, asked.rounds)
    advance(1, f"{name}, word times")
    idle_ms = tuple(1000 * _once_s(engine, clips[:1]) for _ in range(IDLE_FINALS))
    advance(1, f"{name}, clips alone")
    audio_s = {size: size * asked.utterance_s for size in wall_s}
    rtfx = {size: audio_s[size] / wall if wall else None for size, wall in wall_s.items()}
    return Way(name, rtfx, cost, idle_ms)


def _typical_s(
    engine: Ours, clips: Sequence[Float32Array], rounds: int, *, words: bool = False
) -> float | None:
    """Median time of a batch after a first one; None: it does not fit into memory."""
    try:
        _once_s(engine, clips, words=words)
        return median(_once_s(engine, clips, words=words) for _ in range(rounds))
    except OutOfMemory:
        return None


def _once_s(engine: Ours, clips: Sequence[Float32Array], *, words: bool = False) -> float:
    begun = time.perf_counter()
    engine.transcribe(clips, ["en"] * len(clips), words=words)
    return time.perf_counter() - begun


def _words_cost(
    engine: Ours, clips: Sequence[Float32Array], wall_s: Mapping[int, float | None], rounds: int
) -> float | None:
    size = max((size for size, wall in wall_s.items() if wall), default=None)
    if size is None or (without := wall_s[size]) is None:
        return None
    with_words = _typical_s(engine, clips[:size], rounds, words=True)
    return with_words / without - 1 if with_words else None


def figures(ways: Sequence[Way], device: Device) -> Figures:
    found: Figures = {}
    for way in ways:
        found |= {f"{way.name}.batch_{size}.rtfx": value for size, value in way.rtfx.items()}
        found[f"{way.name}.words_cost"] = way.words_cost
        found[f"{way.name}.idle_final_p50_ms"] = percentile(way.idle_ms, 0.5)
        found[f"{way.name}.idle_final_p95_ms"] = percentile(way.idle_ms, 0.95)
    if device.device.type == "cuda":
        found["gpu_peak_mb"] = torch.cuda.max_memory_reserved(device.device) / 1e6
    return found | {"peak_mb": resident().peak_mb}


def checks(shape: str, ways: Sequence[Way], device: Device) -> Iterator[Check]:
    """Only a GPU is asked for these."""
    folded = ways[0]
    if device.device.type != "cuda":
        return
    if least := LEAST_RTFX.get(shape):
        yield Check(f"{shape} folded, RTFx", folded.best_rtfx, least, Sense.AT_LEAST)
    if most := MOST_IDLE_MS.get(shape):
        yield Check(f"{shape} folded, idle final, ms", median(folded.idle_ms), most)


def _table(ways: Sequence[Way], title: str) -> Table:
    sizes = [f"RTFx, batch {size}" for size in ways[0].rtfx]
    shown = table(title, "", *sizes, "idle final, p50", "word times cost")
    for way in ways:
        speeds = (
            "out of memory" if value is None else f"{value:.1f}" for value in way.rtfx.values()
        )
        cost = "-" if way.words_cost is None else f"{way.words_cost:.1%}"
        shown.add_row(way.name, *speeds, f"{median(way.idle_ms):.1f} ms", cost)
    return shown


def _parser() -> argparse.ArgumentParser:
    parser = options.parser("gpu", __doc__)
    parser.add_argument(
        "--shape", choices=tuple(SHAPES), default="turbo", help="of the model (default: turbo)"
    )
    options.add_model(parser, default=None)
    options.add_data(parser)
    options.add_dtype(parser)
    parser.add_argument(
        "--batch",
        type=options.listed(positive),
        default=(1, 8, 16, 32, 64),
        metavar="N,...",
        help="clips in one call (default: 1,8,16,32,64)",
    )
    parser.add_argument(
        "--utterance-s",
        type=options.above_zero,
        default=4.0,
        metavar="S",
        help="length of a clip (default: 4)",
    )
    parser.add_argument(
        "--tokens",
        type=positive,
        default=22,
        metavar="N",
        help="of a text, with random weights (default: 22, usual for 4 s)",
    )
    options.add_rounds(parser)
    return parser
