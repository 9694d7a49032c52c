"""Speed, latency and memory of a model of one shape on the best device of this machine.

Weights are random unless some are named, so nothing has to be fetched: speed depends on the shape
alone. Random weights are given noise and write texts of a fixed length.
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

from bench.checkpoints import requested_checkpoint, use_requested_threads
from bench.engine.engines.streamscribe import StreamscribeEngine
from bench.engine.memory import resident
from bench.engine.shapes import SHAPES, random_checkpoint
from bench.framework import (
    Advance,
    BenchContext,
    Findings,
    above_zero,
    add_data,
    add_dtype,
    add_numbers,
    add_threads,
    list_of,
    machine,
)
from bench.quality.recordings import recordings, truncated
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array
from consumer.errors import OutOfMemory
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.device import Device, choose
from evaluation.percentiles import percentile
from evaluation.report import Check, Figures, Sense
from transport.arguments import positive

# Targets of a GPU, folded: the best RTFx with clips of 4 s, and the latency of a clip alone.
MIN_RTFX: Final = {"turbo": 3_500.0, "large-v3": 2_000.0}
MAX_IDLE_MS: Final = {"turbo": 20.0}
SEED: Final = 16
MODES: Final = {"folded": True, "padded": False}  # whether the encoder is folded


@dataclass(frozen=True, slots=True)
class FoldModeSpeed:
    """The speed of the model with its encoder folded, or padded."""

    name: str  # folded | padded
    rtfx: Mapping[int, float | None]  # by batch; None: it did not fit into memory
    words_cost: float | None  # share of time that word times add to the largest batch that fitted
    idle_ms: tuple[float, ...]  # of clips that are decoded alone

    @property
    def best_rtfx(self) -> float:
        return max((value for value in self.rtfx.values() if value), default=0.0)

    def figures(self) -> Figures:
        return {
            **{f"{self.name}.batch_{size}.rtfx": value for size, value in self.rtfx.items()},
            f"{self.name}.words_cost": self.words_cost,
            f"{self.name}.idle_final_p50_ms": percentile(self.idle_ms, 0.5),
            f"{self.name}.idle_final_p95_ms": percentile(self.idle_ms, 0.95),
        }


@dataclass(frozen=True, slots=True)
class EngineTimer:
    """The wall time of one engine on clips of one length, in English."""

    engine: StreamscribeEngine
    clips: Sequence[Float32Array]
    rounds: int

    def once_s(self, size: int, *, words: bool = False) -> float:
        started = time.perf_counter()
        self.engine.transcribe(self.clips[:size], ["en"] * size, words=words)
        return time.perf_counter() - started

    def typical_s(self, size: int, *, words: bool = False) -> float | None:
        """Return the median of all rounds after a first batch; None: out of memory."""
        try:
            self.once_s(size, words=words)
            return median(self.once_s(size, words=words) for _ in range(self.rounds))
        except OutOfMemory:
            return None


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    threads = use_requested_threads(context)
    device = choose("auto", asked.dtype)
    checkpoint = _checkpoint(context, device)
    clips = _clips(asked)
    modes = []
    with context.progress(2 * (len(asked.batch) + 2)) as advance:
        for name, fold in MODES.items():
            engine = StreamscribeEngine(checkpoint, device, fold=fold)
            timer = EngineTimer(engine, clips, asked.rounds)
            modes.append(measure(name, timer, asked.batch, asked.idle_clips, advance))
    model, weights = checkpoint.name, asked.model or "random"
    return Findings(
        figures(modes, device),
        [*checks(asked.shape, modes[0], device)],
        measured_on=machine(device.numbers, threads, model=model, weights=weights),
    )


def _checkpoint(context: BenchContext, device: Device) -> Checkpoint:
    asked = context.arguments
    if asked.model is not None:
        return requested_checkpoint(context)[1]
    dims = SHAPES[asked.shape]
    return random_checkpoint(asked.shape, dims, asked.tokens, device.device, device.dtype)


def _clips(asked: argparse.Namespace) -> list[Float32Array]:
    """Return clips of one length for the largest batch: speech for real weights, else noise."""
    count, length = max(asked.batch), int(asked.utterance_s * WHISPER_RATE)
    if asked.model is None:
        noise = np.random.default_rng(SEED).standard_normal((count, length), np.float32)
        return [*(0.1 * noise)]
    speech = [c.samples for c in truncated(recordings(asked.data, {"en"}), asked.utterance_s)]
    full = [samples for samples in speech if len(samples) == length]
    return [*islice(cycle(full or [np.resize(speech[0], length)]), count)]


def measure(
    name: str, timer: EngineTimer, sizes: Sequence[int], idle_clips: int, advance: Advance
) -> FoldModeSpeed:
    wall_s: dict[int, float | None] = {}
    for size in sizes:
        wall_s[size] = timer.typical_s(size)
        advance(1, f"{name}, batch of {size}")
    words_cost = None
    if largest := max((size for size, found in wall_s.items() if found), default=0):
        with_words, without = timer.typical_s(largest, words=True), wall_s[largest]
        words_cost = with_words / without - 1 if with_words and without else None
    advance(1, f"{name}, word times")
    idle_ms = tuple(1000 * timer.once_s(1) for _ in range(idle_clips))
    advance(1, f"{name}, clips alone")
    clip_s = len(timer.clips[0]) / WHISPER_RATE
    rtfx = {size: size * clip_s / found if found else None for size, found in wall_s.items()}
    return FoldModeSpeed(name, rtfx, words_cost, idle_ms)


def figures(modes: Sequence[FoldModeSpeed], device: Device) -> Figures:
    found: Figures = {}
    for mode in modes:
        found |= mode.figures()
    if device.device.type == "cuda":
        found["gpu_peak_mb"] = torch.cuda.max_memory_reserved(device.device) / 1e6
    return found | {"peak_mb": resident().peak_mb}


def checks(shape: str, folded: FoldModeSpeed, device: Device) -> Iterator[Check]:
    """Yield the checks of a GPU; a processor has none."""
    if device.device.type != "cuda":
        return
    if least := MIN_RTFX.get(shape):
        yield Check(f"{shape} folded, RTFx", folded.best_rtfx, least, Sense.AT_LEAST)
    if most := MAX_IDLE_MS.get(shape):
        yield Check(f"{shape} folded, idle final, ms", median(folded.idle_ms), most)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shape", choices=tuple(SHAPES), default="turbo", help="of the model (default: turbo)"
    )
    parser.add_argument("--model", metavar="NAME|PATH", help="weights (default: random ones)")
    add_threads(parser)
    add_data(parser)
    add_dtype(parser)
    add_numbers(
        parser,
        ("rounds", positive, 3, "of which medians are"),
        ("batch", list_of(positive), "1,8,16,32,64", "clips in one call, several sizes"),
        ("utterance-s", above_zero, 4.0, "seconds of a clip"),
        ("tokens", positive, 22, "of a text with random weights; 22 is usual for 4 s"),
        ("idle-clips", positive, 20, "clips that are decoded alone, for the latency"),
    )
