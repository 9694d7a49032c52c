"""Whether confidence means what it says: of words with 0.9, are nine in ten right?

Every clip is heard as it is and with real noise mixed in at 10 and 3 dB (where the folder has clips
without speech), and cut as the worker cuts it. Clips of one utterance are decoded and held against
their reference: right = 1 - word (Chinese: character) error rate. A number in digits is no error.

`--fit` finds the two coefficients anew, as they stand in consumer/core/confidence.py, and judges
them on speakers that they were not fitted on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from math import exp
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.calibration import BINS, Judgement, Sample, cross_validated, fit, judge, reliability
from bench.known_utterances import SNRS_DB, Heard, heard
from bench.progress import progress
from bench.spoken import accuracy
from bench.trial import Trial, parser
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.quality import OF_TOKENS, OF_WORDS, Calibration
from consumer.engine.local import Transcriber
from consumer.errors import ConfigError
from evaluation.report import Check, Figures, table

MAX_ECE: Final = 0.05
_BATCH: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What Whisper wrote for it, and how much of that is right."""

    heard: Heard
    hypothesis: Hypothesis
    right: float
    words: int

    def sample(self, probability: float) -> Sample:
        return Sample(probability, self.right, self.words, self.heard.speaker)


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to a confidence."""

    name: str
    shipped: Calibration
    probability: Callable[[Hypothesis], float]  # Whisper's own

    def samples(self, found: Sequence[Evidence]) -> list[Sample]:
        return [each.sample(self.probability(each.hypothesis)) for each in found]

    def confidences(self, samples: Sequence[Sample]) -> list[float]:
        return [self.shipped.apply(sample.probability) for sample in samples]


def of_words(hypothesis: Hypothesis) -> float:
    words = hypothesis.words or ()
    return float(np.mean([word.probability for word in words]))


def of_tokens(hypothesis: Hypothesis) -> float:
    return exp(hypothesis.avg_logprob)


KINDS: Final = (
    Kind("words", OF_WORDS, of_words),
    Kind("tokens", OF_TOKENS, of_tokens),
)
PARTS: Final[dict[str, Callable[[Heard], bool]]] = {
    "all": lambda _: True,
    "en": lambda each: each.language == "en",
    "zh": lambda each: each.language == "zh",
    "as recorded": lambda each: each.snr_db is None,
    "noise 10 dB": lambda each: each.snr_db == SNRS_DB[1],
    "noise 3 dB": lambda each: each.snr_db == SNRS_DB[2],
}


def main(argv: Sequence[str]) -> int:
    trial = Trial.begin(_parser().parse_args(argv))
    asked, console = trial.asked, trial.console
    with trial.detecting():
        known = [*heard(asked.data, {*trial.languages})]
    found = [*_decoded(trial.transcriber, known, console)]
    _check_enough(found, asked.data, speakers=2 if asked.fit else 1)
    figures: Figures = {}
    for kind in KINDS:
        judged, samples = judgements(kind, found), kind.samples(found)
        judged["uncalibrated"] = judge([sample.probability for sample in samples], samples)
        if asked.fit:
            made, judged["unseen speakers"] = _fitted(samples)
            console.print(f"{kind.name}: Calibration({made.intercept:.2f}, {made.slope:.2f})")
        console.print(_table(f"Confidence from {kind.name}", judged))
        figures |= _figures(kind.name, judged)
    console.print(_reliability_table(KINDS[0], found))
    checks = [Check("ECE", float(figures["words, all: ece"] or 0), MAX_ECE)]
    trial.publish(figures, checks)
    return 0


def _parser() -> argparse.ArgumentParser:
    made = parser("confidence", __doc__)
    made.add_argument("--fit", action="store_true", help="find the coefficients anew")
    return made


def _check_enough(found: Sequence[Evidence], folder: Path, *, speakers: int) -> None:
    if len({each.heard.speaker for each in found}) < speakers:
        raise ConfigError(
            f"{folder}: clips by at least {speakers} speaker(s) are needed, each one utterance "
            "with a text, in a language that can be scored and that the model knows"
        )


def _decoded(
    transcriber: Transcriber, known: Sequence[Heard], console: Console
) -> Iterator[Evidence]:
    """What Whisper writes for each; where it writes nothing there is nothing to be right."""
    order = sorted(known, key=lambda each: len(each.samples))
    with progress(console, sum(len(each.samples) for each in order)) as advance:
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            clips = [DecodeRequest(each.samples, (each.language,), words=True) for each in batch]
            for each, hypothesis in zip(batch, transcriber.transcribe(clips), strict=True):
                advance(len(each.samples), f"{len(each.samples) / WHISPER_RATE:.0f} s")
                if hypothesis.words:
                    right, words = accuracy(each.reference, hypothesis.text, each.language)
                    yield Evidence(each, hypothesis, right, words)


def judgements(kind: Kind, found: Sequence[Evidence]) -> dict[str, Judgement]:
    """Of all, and of every part by which a confidence may fail."""
    judged = {}
    for name, belongs in PARTS.items():
        if samples := kind.samples([each for each in found if belongs(each.heard)]):
            judged[name] = judge(kind.confidences(samples), samples)
    return judged


def _fitted(samples: Sequence[Sample]) -> tuple[Calibration, Judgement]:
    """On all of them; and how well fits do on speakers that they have not seen."""
    return fit(samples), judge(cross_validated(samples), samples)


def _table(title: str, judged: Mapping[str, Judgement]) -> Table:
    headings = ("n", "words", "right", "says", "ECE", "Brier", "AUC")
    shown = table(title, "of", *headings)
    for name, judgement in judged.items():
        utterances, words, *shares = astuple(judgement)
        shown.add_row(name, str(utterances), str(words), *map(_share, shares))
    return shown


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"


def _reliability_table(kind: Kind, found: Sequence[Evidence]) -> Table:
    samples = kind.samples(found)
    shown = table("Reliability", "says", "n", "words", "mean", "right")
    for each in reliability(kind.confidences(samples), samples):
        tenth = f"{each.low:.1f} - {each.low + 1 / BINS:.1f}"
        counts = str(each.utterances), str(each.words)
        shown.add_row(tenth, *counts, f"{each.confidence:.3f}", f"{each.right:.3f}")
    return shown


def _figures(kind: str, judged: Mapping[str, Judgement]) -> Figures:
    return {
        f"{kind}, {name}: {figure}": value
        for name, judgement in judged.items()
        for figure, value in asdict(judgement).items()
    }
