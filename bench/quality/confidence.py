"""The calibration of confidences: of words with 0.9, are nine in ten correct?

Every clip is decoded as recorded and with real noise mixed in at 10 and 3 dB (if the folder has
clips without speech), cut as the worker cuts it. Clips of one utterance are compared with their
reference: correct = 1 - word (Chinese: character) error rate. A number in digits is no error.

`--fit` fits the two coefficients of consumer/core/text/quality.py anew, and evaluates them on
speakers that they were not fitted on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from math import exp
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

from bench.framework import BenchContext, Findings
from bench.quality.calibration import (
    BINS,
    CalibrationMetrics,
    CalibrationSample,
    cross_validated,
    evaluate,
    fit,
    reliability,
)
from bench.quality.decoding import OfflineDecoder, add_decoding
from bench.quality.known_clips import SNRS_DB, KnownClip, known_clips
from bench.quality.spoken import accuracy
from consumer.core.audio.samples import to_float
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.quality import OF_TOKENS, OF_WORDS, Calibration
from consumer.errors import ConfigError
from evaluation.report import Check, Figures, table

MAX_ECE: Final = 0.05


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
    tables: list[Table] = []
    notes: list[str] = []
    for source in SOURCES:
        found, samples = source.by_part(texts), source.samples(texts)
        found["uncalibrated"] = evaluate([each.probability for each in samples], samples)
        if asked.fit:
            fitted = fit(samples)
            found["unseen speakers"] = evaluate(cross_validated(samples), samples)
            notes.append(f"{source.name}: Calibration({fitted.intercept:.2f}, {fitted.slope:.2f})")
        figures |= _figures(source.name, found)
        tables.append(_table(f"Confidence from {source.name}", found))
    tables.append(_reliability_table(SOURCES[0], texts))
    checks = [Check("ECE", float(figures["words, all: ece"] or 0), MAX_ECE)]
    return Findings(figures, checks, decoder.measured_on, tables, notes)


def _decoded(decoder: OfflineDecoder, clips: Sequence[KnownClip]) -> Iterator[ScoredText]:
    """Yield the clips with a text: without one there is nothing to be correct."""
    requests = [
        DecodeRequest(to_float(each.utterances[0].samples), (each.recording.language,), words=True)
        for each in clips
    ]
    for clip, text in zip(clips, decoder.decode(requests, "utterances"), strict=True):
        if text.words:
            recording = clip.recording
            yield ScoredText(
                clip, text, *accuracy(recording.reference, text.text, recording.language)
            )


def check_enough(texts: Sequence[ScoredText], folder: Path, *, speakers: int) -> None:
    """Raise `ConfigError` if there are fewer speakers."""
    if len({each.clip.speaker for each in texts}) < speakers:
        raise ConfigError(
            f"{folder}: clips by at least {speakers} speaker(s) are needed, each one utterance "
            "with a text, in a language of the model that can be scored (en, zh)"
        )


def _figures(source: str, found: Mapping[str, CalibrationMetrics]) -> Figures:
    return {
        f"{source}, {part}: {figure}": value
        for part, metrics in found.items()
        for figure, value in asdict(metrics).items()
    }


def _table(title: str, found: Mapping[str, CalibrationMetrics]) -> Table:
    shown = table(title, "", "n", "words", "correct", "confidence", "ECE", "Brier", "AUC")
    for part, metrics in found.items():
        utterances, words, *shares = astuple(metrics)
        cells = ("-" if share is None else f"{share:.3f}" for share in shares)
        shown.add_row(part, str(utterances), str(words), *cells)
    return shown


def _reliability_table(source: ConfidenceSource, texts: Sequence[ScoredText]) -> Table:
    samples = source.samples(texts)
    shown = table("Reliability", "confidence", "n", "words", "mean", "correct")
    for each in reliability(source.confidences(samples), samples):
        tenth = f"{each.low:.1f} - {each.low + 1 / BINS:.1f}"
        shares = (f"{each.confidence:.3f}", f"{each.right:.3f}")
        shown.add_row(tenth, str(each.utterances), str(each.words), *shares)
    return shown


def arguments(parser: argparse.ArgumentParser) -> None:
    add_decoding(parser)
    parser.add_argument("--fit", action="store_true", help="fit the coefficients anew")
