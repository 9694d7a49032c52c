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
from typing import Final, TypeAlias

import numpy as np
from rich.table import Table

from bench.framework import BenchContext, Findings, above_zero, add_decoding, add_numbers
from bench.live.clips import clip_reader, long_recordings, whole_texts
from bench.live.conversations import Conversation
from bench.live.text_errors import (
    CutErrors,
    TextPair,
    cut_checks,
    cut_errors,
    text_checks,
    text_figures,
)
from bench.quality.cutting import utterances
from bench.quality.decoding import OfflineDecoder, clip_request, published_text
from bench.quality.recordings import RECIPES
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Utterance
from consumer.detection import cascade
from consumer.errors import ConfigError
from consumer.settings import Settings
from evaluation.report import Check, Figures, prefixed, section, table
from evaluation.scoring import tokens
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
    return Findings(found, [*checks(found)], decoder.measured_on, [_places(recordings)])


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
        found |= prefixed(f"{kind}.", errors.figures())
    return found


def checks(figures: Figures) -> Iterator[Check]:
    yield from text_checks(figures)
    yield from cut_checks(section(figures, "forced."))


def _by_kind(recordings: Iterable[CutRecording]) -> dict[str, CutErrors]:
    found = {"forced": CutErrors(), "paused": CutErrors()}
    for recording in recordings:
        found["forced"] += recording.errors(recording.forced)
        found["paused"] += recording.errors(recording.paused)
    return found


def _places(recordings: Iterable[CutRecording]) -> Table:
    """Return one row a forced cut with errors."""
    rows = (
        (recording.name, *_place(recording, number), str(errors))
        for recording in recordings
        for number in recording.forced
        if (errors := recording.errors([number])) != CutErrors(cuts=1)
    )
    headings = ("", "at s", "speech", "before", "after", "words")
    return table("Forced cuts with errors", *headings, rows=rows)


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
