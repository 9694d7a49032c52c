"""Streamscribe beside its peers on the processor: same clips, greedy, same threads.

speed      every engine in a process of its own, one working at a time, all of them once a round
accuracy   error rates beside openai-whisper's (padded, fp32, without timestamps), how often the
           text is that of our own padded decode, and how often a batch changes it
words      word starts beside openai-whisper's

No engine decodes a clip again at another temperature. Checks are of the first --dtype.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from bench import framework
from bench.checkpoints import languages, requested_checkpoint, requested_threads
from bench.engine import accuracy, speed, word_times
from bench.engine.engines.catalog import PEERS, Variant, check_installed, streamscribe
from bench.engine.layouts import written
from bench.engine.worker import EngineRunner, own_process
from bench.framework import BenchContext, Findings
from bench.quality.recordings import SCORED, Recording, evenly, recordings, truncated
from consumer.errors import ConfigError
from consumer.inference import device
from evaluation.report import Check, Figures
from transport.arguments import positive

DTYPES: Final = ("auto", "bf16", "fp32", "int8")  # of this engine
SEED: Final = 8


class GroupResult(Protocol):
    """What was measured for one group of figures."""

    def figures(self) -> Figures: ...
    def checks(self) -> Iterator[Check]: ...


@dataclass(frozen=True, slots=True)
class EngineBench:
    """One call of the command."""

    asked: argparse.Namespace
    dtypes: tuple[str, ...]  # of this engine
    peers: tuple[Variant, ...]
    languages: frozenset[str]  # of the model
    runner: EngineRunner

    def speed(self) -> speed.SpeedResult:
        plan = speed.SpeedPlan(
            own=[streamscribe(dtype) for dtype in self.dtypes],
            peers=self.peers,
            clips={language: self._ordered(language) for language in self._scored},
            batches=self.asked.batch,
            words=self.asked.word_times,
            rounds=self.asked.rounds,
            utterance_s=self.asked.utterance_s,
        )
        return speed.measure(plan, self.runner)

    def accuracy(self) -> accuracy.AccuracyResult:
        mixed = evenly(recordings(self.asked.data, self.languages), self.asked.clips)
        dtypes = tuple(dict.fromkeys(("fp32", *self.dtypes)))
        return accuracy.measure(dtypes, self.runner, self._all_clips, mixed)

    def words(self) -> word_times.WordTimesResult:
        return word_times.measure(streamscribe(self.dtypes[0]), self.runner, self._all_clips)

    @property
    def _scored(self) -> list[str]:
        """Languages that were asked for and that the model has. Raises `ConfigError`."""
        if found := [language for language in self.asked.languages if language in self.languages]:
            return found
        raise ConfigError("this model is English only: --languages en")

    @property
    def _all_clips(self) -> list[Recording]:
        return [clip for language in self._scored for clip in self._clips(language)]

    def _clips(self, language: str) -> list[Recording]:
        return evenly(recordings(self.asked.data, {language}), self.asked.clips)

    def _ordered(self, language: str) -> list[Recording]:
        """Return the clips of a language in the order of the batches."""
        clips = self._clips(language)
        if self.asked.order == "mixed":
            ordered = random.Random(SEED).sample(clips, len(clips))
        else:
            ordered = sorted(clips, key=lambda clip: len(clip.samples))
        return truncated(ordered, self.asked.utterance_s)


GROUPS: Final[dict[str, Callable[[EngineBench], GroupResult]]] = {
    "speed": EngineBench.speed,
    "accuracy": EngineBench.accuracy,
    "words": EngineBench.words,
}


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    dtypes = tuple(dict.fromkeys(map(_resolved_dtype, asked.dtype)))
    threads = requested_threads(context)
    peers = tuple(PEERS[name] for name in asked.peers if "speed" in asked.figures)
    check_installed(peers)
    path, checkpoint = requested_checkpoint(context)
    with written(path, checkpoint, peers) as weights:
        runner = EngineRunner(context, weights, partial(own_process, threads))
        bench = EngineBench(asked, dtypes, peers, languages(checkpoint), runner)
        results = [GROUPS[group](bench) for group in asked.figures]
    return Findings(
        figures={name: value for one in results for name, value in one.figures().items()},
        checks=[check for one in results for check in one.checks()],
        measured_on=framework.machine(",".join(dtypes), threads, model=checkpoint.name),
    )


def _resolved_dtype(requested: str) -> str:
    """Return the dtype that `auto` means on this processor. Raises `ConfigError`."""
    chosen = device.choose("cpu", requested)
    if requested != device.RequestedDtype.AUTO:
        return requested
    if chosen.int8:
        return device.RequestedDtype.INT8.value
    return next(name for name, dtype in device.DTYPES.items() if dtype is chosen.dtype)


def arguments(parser: argparse.ArgumentParser) -> None:
    framework.add_threads(parser)
    framework.add_data(parser)
    framework.add_model(parser)
    framework.add_numbers(parser, ("rounds", positive, 3, "of which medians are"))
    framework.add_clips(parser)
    for name, kind, default, help_ in (
        ("figures", framework.one_of(*GROUPS), ",".join(GROUPS), "what to measure"),
        ("peers", framework.one_of(*PEERS), ",".join([*PEERS][:3]), f"any of {', '.join(PEERS)}"),
        ("languages", framework.one_of(*SCORED), ",".join(SCORED), "of the clips"),
        ("dtype", framework.one_of(*DTYPES), "auto", f"any of {', '.join(DTYPES)}, of this engine"),
        ("batch", positive, "1,8,16", "clips in one call, for engines that accept several"),
        ("word-times", _on_or_off, "on,off", "speed with them, without them, or both"),
    ):
        parser.add_argument(
            f"--{name}",
            type=framework.list_of(kind),
            default=default,
            metavar="X,...",
            help=f"{help_} (default: {default})",
        )
    parser.add_argument(
        "--utterance-s",
        type=framework.above_zero,
        metavar="S",
        help="speed on clips cut to S seconds (default: whole clips)",
    )
    parser.add_argument(
        "--order",
        choices=("length", "mixed"),
        default="length",
        help="of the clips in batches: by length (default), or shuffled",
    )


def _on_or_off(text: str) -> bool:
    return framework.one_of("on", "off")(text) == "on"
