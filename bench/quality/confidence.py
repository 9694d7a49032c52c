"""The calibration of confidences: of words with 0.9, are nine in ten correct?

Every clip is decoded as recorded and with real noise mixed in at 10 and 3 dB (if the folder has
clips without speech), cut as the worker cuts it. Clips of one utterance are compared with their
reference: correct = 1 - word (Chinese: character) error rate. A number in digits is no error.

`--fit` fits the two coefficients of consumer/core/text/quality.py anew, and evaluates them on
speakers that they were not fitted on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp
from pathlib import Path
from typing import Final

import jiwer
import numpy as np
from rich.table import Table

from bench.framework import BenchContext, Findings, add_decoding
from bench.quality.calibration import (
    BINS,
    CalibrationMetrics,
    CalibrationSample,
    cross_validated,
    evaluate,
    fit,
    reliability,
)
from bench.quality.decoding import OfflineDecoder, clip_request
from bench.quality.known_clips import SNRS_DB, KnownClip, known_clips
from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.quality import OF_TOKENS, OF_WORDS, Calibration
from consumer.errors import ConfigError
from evaluation.report import Check, Figures, cell, prefixed, table
from evaluation.scoring import ErrorUnit, tokens, unit_of

MAX_ECE: Final = 0.05
_CHINESE_DIGITS: Final = str.maketrans("0123456789", "零一二三四五六七八九")


@dataclass(frozen=True, slots=True, eq=False)
class ScoredText:
    """Whisper's text of a clip of one utterance, and how much of it is correct."""

    clip: KnownClip
    hypothesis: Hypothesis
    right: float  # share of words
    words: int

    def sample(self, probability: float) -> CalibrationSample:
        return CalibrationSample(probability, self.right, self.words, self.clip.speaker)


@dataclass(frozen=True, slots=True)
class ConfidenceSource:
    """One way to compute a confidence."""

    name: str
    shipped: Calibration
    probability: Callable[[Hypothesis], float]  # Whisper's own

    def samples(self, texts: Sequence[ScoredText]) -> list[CalibrationSample]:
        return [each.sample(self.probability(each.hypothesis)) for each in texts]

    def confidences(self, samples: Sequence[CalibrationSample]) -> list[float]:
        return [self.shipped.apply(sample.probability) for sample in samples]

    def by_part(self, texts: Sequence[ScoredText]) -> dict[str, CalibrationMetrics]:
        """Evaluate all texts, and every part in which a confidence may fail."""
        found = {}
        for name, belongs in PARTS.items():
            if samples := self.samples([each for each in texts if belongs(each.clip)]):
                found[name] = evaluate(self.confidences(samples), samples)
        return found


def of_words(hypothesis: Hypothesis) -> float:
    return float(np.mean([word.probability for word in hypothesis.words or ()]))


def of_tokens(hypothesis: Hypothesis) -> float:
    return exp(hypothesis.avg_logprob)


SOURCES: Final = (
    ConfidenceSource("words", OF_WORDS, of_words),
    ConfidenceSource("tokens", OF_TOKENS, of_tokens),
)
PARTS: Final[dict[str, Callable[[KnownClip], bool]]] = {
    "all": lambda _: True,
    "en": lambda clip: clip.recording.language == "en",
    "zh": lambda clip: clip.recording.language == "zh",
    "as recorded": lambda clip: clip.snr_db is None,
    "noise 10 dB": lambda clip: clip.snr_db == SNRS_DB[1],
    "noise 3 dB": lambda clip: clip.snr_db == SNRS_DB[2],
}


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    decoder = OfflineDecoder.load(context)
    with decoder.detecting():
        known = known_clips(asked.data, decoder.languages)
        clips = [clip for clip in known if len(clip.utterances) == 1]
    texts = [*_decoded(decoder, clips)]
    check_enough(texts, asked.data, speakers=2 if asked.fit else 1)
    figures: Figures = {}
    notes: list[str] = []
    for source in SOURCES:
        found, samples = source.by_part(texts), source.samples(texts)
        found["uncalibrated"] = evaluate([each.probability for each in samples], samples)
        if asked.fit:
            fitted = fit(samples)
            found["unseen speakers"] = evaluate(cross_validated(samples), samples)
            notes.append(f"{source.name}: Calibration({fitted.intercept:.2f}, {fitted.slope:.2f})")
        for part, metrics in found.items():
            figures |= prefixed(f"{source.name}, {part}: ", asdict(metrics))
    checks = [Check("ECE", float(figures["words, all: ece"] or 0), MAX_ECE)]
    tables = [_reliability_table(SOURCES[0], texts)]
    return Findings(figures, checks, decoder.measured_on, tables, notes)


def _decoded(decoder: OfflineDecoder, clips: Sequence[KnownClip]) -> Iterator[ScoredText]:
    """Yield the clips with a text: without one there is nothing to be correct."""
    requests = [
        replace(clip_request(clip.utterances[0].samples, clip.recording.language), prompt=None)
        for clip in clips
    ]
    for clip, text in zip(clips, decoder.decode(requests, "utterances"), strict=True):
        if text.words:
            recording = clip.recording
            yield ScoredText(
                clip, text, *accuracy(recording.reference, text.text, recording.language)
            )


def accuracy(reference: str, text: str, language: str) -> tuple[float, int]:
    """Return 1 - error rate, at least 0, and the number of words (Chinese: characters).

    "3 5 1", "351" and "three five one" are equal; so are 3 and 三.
    """
    expected, found = (_spoken(each, language) for each in (reference, text))
    counts = jiwer.process_words(" ".join(expected), " ".join(found))
    errors = counts.substitutions + counts.deletions + counts.insertions
    return max(0.0, 1 - errors / len(expected)), len(expected)


def _spoken(text: str, language: str) -> list[str]:
    words = tokens(text, language)
    if unit_of(language) is ErrorUnit.CHARACTERS:
        return [word.translate(_CHINESE_DIGITS) for word in words]
    parts = (part for word in words for part in (word if word.isdecimal() else (word,)))
    return ["one" if part == "1" else part for part in parts]  # the normaliser keeps a lone "one"


def check_enough(texts: Sequence[ScoredText], folder: Path, *, speakers: int) -> None:
    """Raise `ConfigError` if there are fewer speakers."""
    if len({each.clip.speaker for each in texts}) < speakers:
        raise ConfigError(
            f"{folder}: clips by at least {speakers} speaker(s) are needed, each one utterance "
            "with a text, in a language of the model that can be scored (en, zh)"
        )


def _reliability_table(source: ConfidenceSource, texts: Sequence[ScoredText]) -> Table:
    samples = source.samples(texts)
    rows = (
        (
            f"{each.low:.1f} - {each.low + 1 / BINS:.1f}",
            *map(cell, (each.utterances, each.words, each.confidence, each.right)),
        )
        for each in reliability(source.confidences(samples), samples)
    )
    return table("Reliability", "confidence", "n", "words", "mean", "correct", rows=rows)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_decoding(parser)
    parser.add_argument("--fit", action="store_true", help="fit the coefficients anew")
