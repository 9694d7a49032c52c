"""Streamscribe beside its peers on the processor: same clips, greedy, same threads.

speed      every engine in a process of its own, one working at a time, all of them once a round
accuracy   error rates beside openai-whisper's (padded, fp32, without timestamps), how often the
           text is that of our own padded decode, and how often a batch changes it
words      word starts beside openai-whisper's

No engine tries a clip a second time at another temperature.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from bench import accuracy, options, speed, word_times
from bench.engines.catalog import PEERS, Variant, Weights, ours
from bench.layouts import written
from bench.machine import machine
from bench.progress import progress
from bench.recordings import SCORED, Recording, cut, recordings, thinned
from bench.worker import Stand
from consumer.errors import ConfigError
from consumer.inference.checkpoint import load
from consumer.inference.device import DTYPES, RequestedDtype, choose, usable_cores
from consumer.inference.vocabulary import Vocabulary
from evaluation.report import Check, Figures, publish
from transport.arguments import positive

ON_OFF: Final = {"on": True, "off": False}
SEED: Final = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one group of figures comes to."""

    figures: Figures
    checks: Sequence[Check]
    tables: Iterable[Table]


def main(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(argv)
    asked.dtype = tuple(dict.fromkeys(map(_dtype, asked.dtype)))
    asked.threads = asked.threads or usable_cores()
    peers = [PEERS[name] for name in asked.peers if "speed" in asked.figures]
    _all_installed(peers)
    console = Console()
    resolved = options.weights(asked.model, console)
    checkpoint = load(resolved.path, sha256=resolved.sha256)
    vocabulary = Vocabulary(checkpoint.dims.n_vocab, checkpoint.dims.n_text_ctx)
    known = frozenset(vocabulary.language_tokens) or frozenset({"en"})
    with written(resolved.path, checkpoint, peers) as weights:
        bench = _Bench(asked, peers, known, weights, console)
        outcomes = [MEASURES[group](bench) for group in asked.figures]
    for table in (table for outcome in outcomes for table in outcome.tables):
        console.print(table)
    figures = {name: value for one in outcomes for name, value in one.figures.items()}
    where = machine(",".join(asked.dtype), asked.threads) | {"model": checkpoint.name}
    publish(console, asked.json, where, figures, [c for one in outcomes for c in one.checks])
    return 0


def _dtype(wish: str) -> str:
    """What a wish comes to on this processor. Raises ConfigError."""
    chosen = choose("cpu", wish).dtype
    named = (name for name, dtype in DTYPES.items() if dtype is chosen)
    return next(named) if wish == RequestedDtype.AUTO else wish


def _all_installed(peers: Iterable[Variant]) -> None:
    if absent := [peer.name for peer in peers if peer.missing]:
        raise ConfigError(
            f"not installed: {', '.join(absent)}: pip install 'streamscribe[bench]', or leave them "
            "out of --peers"
        )


@dataclass(frozen=True, slots=True)
class _Bench:
    """One call of the command."""

    asked: argparse.Namespace
    peers: Sequence[Variant]
    known: frozenset[str]  # languages of the model
    weights: Weights
    console: Console

    def speed(self) -> Outcome:
        asked = self.asked
        plan = speed.Plan(asked.batch, asked.word_times, asked.rounds, asked.utterance_s)
        clips = {lang: self._ordered(self._clips(lang)) for lang in self._languages}
        own = [ours(dtype) for dtype in asked.dtype]
        variants = [*own, *self.peers]
        with self._stand(speed.work_s(plan, variants, clips)) as stand:
            measured = speed.measure(plan, variants, stand, clips)
        return Outcome(
            speed.figures(measured, own, self.peers, clips),
            [*speed.checks(measured, plan, own[0], self.peers)],
            speed.tables(measured, own, self.peers, clips),
        )

    def accuracy(self) -> Outcome:
        scored = [clip for language in self._languages for clip in self._clips(language)]
        mixed = thinned(recordings(self.asked.data, self.known), self.asked.clips)
        dtypes = tuple(dict.fromkeys(("fp32", *self.asked.dtype)))
        with self._stand(accuracy.work_s(dtypes, scored, mixed)) as stand:
            measured = accuracy.measure(dtypes, stand, scored, mixed)
        return Outcome(
            accuracy.figures(measured),
            [*accuracy.checks(measured)],
            accuracy.tables(measured),
        )

    def words(self) -> Outcome:
        clips = [clip for language in self._languages for clip in self._clips(language)]
        with self._stand(word_times.work_s(clips)) as stand:
            measured = word_times.measure(ours(self.asked.dtype[0]), stand, clips)
        return Outcome(
            word_times.figures(measured),
            [*word_times.checks(measured)],
            word_times.tables(measured),
        )

    @property
    def _languages(self) -> list[str]:
        """Those asked for that the model knows. Raises ConfigError when it knows none."""
        if found := [language for language in self.asked.languages if language in self.known]:
            return found
        raise ConfigError("this model is English only: --languages en")

    def _clips(self, language: str) -> list[Recording]:
        return thinned(recordings(self.asked.data, {language}), self.asked.clips)

    def _ordered(self, clips: Sequence[Recording]) -> list[Recording]:
        """Clips as the batches get them."""
        if self.asked.order == "mixed":
            ordered = random.Random(SEED).sample(clips, len(clips))
        else:
            ordered = sorted(clips, key=lambda clip: len(clip.samples))
        return cut(ordered, self.asked.utterance_s)

    @contextmanager
    def _stand(self, work_s: float) -> Iterator[Stand]:
        with progress(self.console, work_s) as advance:
            yield Stand(self.weights, self.asked.threads, advance)


MEASURES: Final[dict[str, Callable[[_Bench], Outcome]]] = {
    "speed": _Bench.speed,
    "accuracy": _Bench.accuracy,
    "words": _Bench.words,
}


def _parser() -> argparse.ArgumentParser:
    parser = options.parser("engine", __doc__)
    options.add_data(parser)
    options.add_model(parser)
    _add_subjects(parser)
    _add_load(parser)
    options.add_rounds(parser)
    options.add_clips(parser)
    return parser


def _add_subjects(parser: argparse.ArgumentParser) -> None:
    """What is measured, and of whom."""
    many = options.listed
    parser.add_argument(
        "--figures",
        type=many(options.one_of(*MEASURES)),
        default=tuple(MEASURES),
        metavar="GROUP,...",
        help=f"any of {', '.join(MEASURES)} (default: all)",
    )
    parser.add_argument(
        "--peers",
        type=many(options.one_of(*PEERS)),
        default=("openai-whisper", "faster-whisper", "transformers"),
        metavar="NAME,...",
        help=f"any of {', '.join(PEERS)} (default: all but the last)",
    )
    parser.add_argument(
        "--languages",
        type=many(options.one_of(*SCORED)),
        default=SCORED,
        metavar="CODE,...",
        help=f"any of {', '.join(SCORED)} (default: all)",
    )
    parser.add_argument(
        "--dtype",
        type=many(options.one_of("auto", "bf16", "fp32", "int8")),
        default=("auto",),
        metavar="TYPE,...",
        help="of this engine: auto, bf16, fp32, int8 (default: auto); checks look at the first",
    )


def _add_load(parser: argparse.ArgumentParser) -> None:
    """What the engines are given."""
    many = options.listed
    parser.add_argument(
        "--batch",
        type=many(positive),
        default=(1, 8, 16),
        metavar="N,...",
        help="clips in one call, of engines that can (default: 1,8,16)",
    )
    parser.add_argument(
        "--word-times",
        type=many(lambda text: ON_OFF[options.one_of(*ON_OFF)(text)]),
        default=(True, False),
        metavar="on,off",
        help="speed with them, without them, or both (default: on,off)",
    )
    parser.add_argument(
        "--utterance-s",
        type=options.above_zero,
        metavar="S",
        help="speed of clips cut to so many seconds (default: whole clips)",
    )
    parser.add_argument(
        "--order",
        choices=("length", "mixed"),
        default="length",
        help="how clips are put into batches: alike in length (default), or as it comes",
    )
