"""Errors at cuts: long recordings cut as the worker cuts them, beside each clip as a whole.

No broker and no pace: the detector, the session, the engine and the hallucination filter alone, so
that a busy machine gives the same figures. With a small --gap-s hardly any pause ends an utterance,
and nearly every cut is forced. A stream may begin anywhere: with --offsets N each recording begins
at N offsets, 100 ms apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias

import numpy as np
from rich.table import Table

from bench.framework import BenchContext, Findings, above_zero, add_numbers
from bench.live.clips import RECIPES, clip_reader, long_recordings, whole_texts
from bench.live.conversations import Conversation
from bench.live.text_errors import (
    CutErrors,
    TextPair,
    cut_checks,
    cut_errors,
    cut_figures,
    text_checks,
    text_figures,
)
from bench.quality.cutting import utterances
from bench.quality.decoding import OfflineDecoder, add_decoding, clip_request, published_text
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Utterance
from consumer.detection import cascade
from consumer.errors import ConfigError
from consumer.settings import Settings
from evaluation.report import Check, Figures, table
from evaluation.scoring import score, tokens, total
from transport.arguments import positive

STEP_MS: Final = 100  # between two offsets
_SHOWN: Final = 5  # words on each side of a cut


Cut: TypeAlias = tuple[Conversation, tuple[Utterance, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class CutRecording:
    """A long recording as it was cut, and its texts."""

    long: Conversation
    utterances: tuple[Utterance, ...]
    texts: tuple[str, ...]  # published for each utterance
    whole: str  # the texts of all clips, each decoded by itself

    @property
    def name(self) -> str:
        return self.long.stream_id

    @property
    def language(self) -> str:
        return self.long.language

    @property
    def pair(self) -> TextPair:
        return TextPair(self.language, self.long.reference, self.whole, " ".join(self.texts))

    @property
    def forced(self) -> list[int]:
        """Utterances that were cut at the longest length, before another one."""
        reasons = [utterance.end_reason for utterance in self.utterances[:-1]]
        return [at for at, reason in enumerate(reasons) if reason is EndReason.MAX_LENGTH]

    @property
    def paused(self) -> list[int]:
        """Utterances that a pause ended, before another one."""
        return [at for at in range(len(self.utterances) - 1) if at not in self.forced]

    def words(self, text: str) -> list[str]:
        return tokens(text, self.language)

    def errors(self, cuts: Collection[int]) -> CutErrors:
        """Return the errors at the ends of those utterances."""
        reference, whole = self.words(self.long.reference), self.words(self.whole)
        return cut_errors(reference, whole, [self.words(text) for text in self.texts], cuts)


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    decoder = OfflineDecoder.load(context)
    with decoder.detecting():
        longs = [*long_recordings(asked.data, decoder.languages, clip_reader(), asked.gap_s)]
        if not longs:
            languages = ", ".join(decoder.languages)
            raise ConfigError(f"{asked.data}: no {RECIPES}, or none in {languages}")
        cuts = [*_cut(longs, asked.offsets)]
    recordings = _decoded(decoder, cuts)
    found = figures(recordings)
    tables = [_table(recordings), _places(recordings)]
    return Findings(found, [*checks(found)], decoder.measured_on, tables)


def _cut(longs: Iterable[Conversation], offsets: int) -> Iterator[Cut]:
    scorer = cascade.load(Settings().detector)
    for long in longs:
        samples = long.samples(0, long.length)
        for number in range(offsets):
            silence = np.zeros(number * STEP_MS * WHISPER_RATE // 1000, np.int16)
            yield long, tuple(utterances(np.concatenate([silence, samples]), scorer))


def _decoded(decoder: OfflineDecoder, cuts: Sequence[Cut]) -> list[CutRecording]:
    whole = whole_texts(decoder, (placed.clip for long, _ in cuts for placed in long.clips))
    requests = [
        clip_request(each.samples, long.language, each.speech)
        for long, found in cuts
        for each in found
    ]
    decoded = iter(decoder.decode(requests, "as cut"))
    return [
        CutRecording(
            long,
            found,
            tuple(published_text(next(decoded), each) for each in found),
            long.joined(whole),
        )
        for long, found in cuts
    ]


def figures(recordings: Sequence[CutRecording]) -> Figures:
    found = text_figures(recording.pair for recording in recordings)
    for kind, errors in _by_kind(recordings).items():
        found |= {f"{kind}.{name}": value for name, value in cut_figures(errors).items()}
    return found


def checks(figures: Figures) -> Iterator[Check]:
    yield from text_checks(figures)
    yield from cut_checks({name.removeprefix("forced."): n for name, n in figures.items()})


def _by_kind(recordings: Iterable[CutRecording]) -> dict[str, CutErrors]:
    found = {"forced": CutErrors(), "paused": CutErrors()}
    for recording in recordings:
        found["forced"] += recording.errors(recording.forced)
        found["paused"] += recording.errors(recording.paused)
    return found


def _table(recordings: Sequence[CutRecording]) -> Table:
    """Return one row a recording, of all its offsets."""
    shown = table(
        "Error rates, %, and words lost / doubled / changed at cuts that were forced, or in pauses",
        *("", "cut", "whole", "forced", "words", "in pauses", "words"),
    )
    for name, group in groupby(recordings, lambda recording: recording.name):
        same = [*group]
        shown.add_row(name, *_rates(same), *_counts(_by_kind(same).values()))
    return shown


def _rates(recordings: Iterable[CutRecording]) -> Iterator[str]:
    pairs = [recording.pair for recording in recordings]
    for texts in ([pair.live for pair in pairs], [pair.whole for pair in pairs]):
        scores = (score(p.reference, t, p.language) for p, t in zip(pairs, texts, strict=True))
        yield f"{100 * total(scores).rate:.2f}"


def _counts(kinds: Iterable[CutErrors]) -> Iterator[str]:
    for errors in kinds:
        yield str(errors.cuts)
        yield _words(errors)


def _words(errors: CutErrors) -> str:
    return f"{errors.lost} / {errors.doubled} / {errors.changed}"


def _places(recordings: Iterable[CutRecording]) -> Table:
    """Return one row a forced cut with errors."""
    shown = table("Forced cuts with errors", "", "at s", "speech", "before", "after", "words")
    for recording in recordings:
        for number in recording.forced:
            errors = recording.errors([number])
            if errors != CutErrors(cuts=1):
                shown.add_row(recording.name, *_place(recording, number), _words(errors))
    return shown


def _place(recording: CutRecording, number: int) -> Iterator[str]:
    """Yield seconds, the probability of speech in the window of the cut, the words around it."""
    utterance = recording.utterances[number]
    before, after = (recording.words(text) for text in recording.texts[number : number + 2])
    yield f"{utterance.end / WHISPER_RATE:.2f}"
    yield f"{utterance.speech.probabilities[-1]:.2f}"
    yield " ".join(before[-_SHOWN:])
    yield " ".join(after[:_SHOWN])


def arguments(parser: argparse.ArgumentParser) -> None:
    add_decoding(parser)
    add_numbers(parser, ("offsets", positive, 1, "at which each recording begins"))
    parser.add_argument(
        "--gap-s",
        type=above_zero,
        metavar="S",
        help="of silence between the speech of clips (default: that of the recipe)",
    )
