"""Text invented where there is no speech, and what filtering it costs.

Without speech: the folder's clips without words, and eleven minutes of silence, noise, tones and
music, cut by each detector and decoded as Chinese and as English. With speech: the folder's English
and Chinese clips, as recorded and under noise, cut as the worker cuts them. Both are counted
without a filter, by openai-whisper's rule alone, and by ours, reason by reason.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import jiwer
from rich.table import Table

from bench.framework import BenchContext, Findings, add_decoding
from bench.quality.cutting import utterances
from bench.quality.decoding import OfflineDecoder, clip_request, published_text
from bench.quality.known_clips import amplified, known_clips, nonspeech, silences
from bench.quality.recordings import recordings
from consumer.core.audio.samples import from_float
from consumer.core.audio.utterance import Int16Array, Utterance
from consumer.core.text.chinese import prompt
from consumer.core.text.hallucination import MAX_NO_SPEECH_PROB, MIN_AVG_LOGPROB, Given
from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.quality import assess
from consumer.detection import cascade
from consumer.detection.detector_thread import SpeechScorer
from consumer.settings import Detector, Settings
from evaluation.report import Check, Figures, Sense, table
from evaluation.scoring import tokens

MAX_INVENTED: Final = 1  # texts where there is no speech, with the default detector, at any level
LEVELS_DB: Final = (-20.0, -40.0, 10.0)  # of sound without speech, beside the recorded one
QUIET_DB: Final = {-20.0: 0.99, -30.0: 0.99, -40.0: 0.9}  # least share of the words as recorded
AS_RECORDED: Final = "as recorded"
MAX_LOST: Final = 0.005  # share of correct words

Filter: TypeAlias = Callable[[Hypothesis, Utterance], str]  # returns what is left of a text
Rows: TypeAlias = dict[str, dict[str, int]]  # by group: the number of all, and by filter


class FilterCase(NamedTuple):
    """One utterance, as a detector cut it."""

    source: str  # utterances of one source belong together
    group: str  # a row of the tables
    language: str  # Whisper code
    utterance: Utterance
    reference: str = ""  # of the whole source; empty: there is no speech


class DecodedCase(NamedTuple):
    case: FilterCase
    hypothesis: Hypothesis

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons for which our filter removes text; empty where it does not."""
        given = Given(prompt(self.hypothesis.language, None))
        assessed = assess(self.hypothesis, self.case.utterance, given)
        return assessed.quality.reasons if assessed.removed else ()

    def filtered(self, name: str) -> str:
        return FILTERS[name](self.hypothesis, self.case.utterance)


def unfiltered(hypothesis: Hypothesis, _: Utterance) -> str:
    return hypothesis.text


def whispers(hypothesis: Hypothesis, _: Utterance) -> str:
    """Apply openai-whisper's own rule."""
    silent = hypothesis.no_speech_prob > MAX_NO_SPEECH_PROB
    return "" if silent and hypothesis.avg_logprob < MIN_AVG_LOGPROB else hypothesis.text


FILTERS: Final[Mapping[str, Filter]] = {
    "none": unfiltered,
    "Whisper's": whispers,
    "ours": published_text,
}


def run(context: BenchContext) -> Findings:
    data = context.arguments.data
    decoder = OfflineDecoder.load(context)
    with decoder.detecting():
        cases = [*_silent(data, decoder.languages), *_speech(data, decoder.languages)]
    requests = [clip_request(c.utterance.samples, c.language, c.utterance.speech) for c in cases]
    decoded = [*map(DecodedCase, cases, decoder.decode(requests, "utterances"))]
    silent = [each for each in decoded if not each.case.reference]
    speech = [each for each in decoded if each.case.reference]
    invented_, correct_ = invented(silent), correct(speech)
    return Findings(
        _figures(invented_ | correct_),
        _checks(invented_, correct_),
        decoder.measured_on,
        tables=[_reasons_table(silent, speech)],
    )


def _silent(folder: Path, languages: Sequence[str]) -> Iterator[FilterCase]:
    sounds = [*nonspeech(folder), *silences()]
    for detector in Detector:
        scorer = cascade.load(detector)
        for name, samples in sounds:
            yield from _cases(name, detector.value, samples, scorer, languages)
    default = Settings().detector
    scorer = cascade.load(default)
    for level_db in LEVELS_DB:
        group = f"{default.value} {_at(level_db)}"
        for name, samples in sounds:
            yield from _cases(name, group, amplified(samples, level_db), scorer, languages)


def _cases(
    source: str, group: str, samples: Int16Array, scorer: SpeechScorer, languages: Sequence[str]
) -> Iterator[FilterCase]:
    for cut in utterances(samples, scorer):
        yield from (FilterCase(source, group, code, cut) for code in languages)


def _at(level_db: float) -> str:
    return f"at {level_db:+g} dB"


def _speech(folder: Path, languages: Sequence[str]) -> Iterator[FilterCase]:
    for known in known_clips(folder, languages):
        group = AS_RECORDED if known.snr_db is None else f"noise at {known.snr_db:g} dB"
        clip = known.recording
        for cut in known.utterances:
            source = f"{clip.name}, {group}"
            yield FilterCase(source, group, clip.language, cut, clip.reference)
    scorer = cascade.load(Settings().detector)
    for level_db in QUIET_DB:
        for clip in recordings(folder, languages):
            quiet = amplified(from_float(clip.samples), level_db)
            for cut in utterances(quiet, scorer):
                source, group = f"{clip.name}, {_at(level_db)}", _at(level_db)
                yield FilterCase(source, group, clip.language, cut, clip.reference)


def invented(silent: Iterable[DecodedCase]) -> Rows:
    """Return, by detector and language, the utterances and the texts that a filter leaves."""
    rows: Rows = {}
    for each in silent:
        left = {name: int(bool(each.filtered(name))) for name in FILTERS}
        _add(rows, f"{each.case.group}, {each.case.language}", 1, left)
    return rows


def correct(speech: Iterable[DecodedCase]) -> Rows:
    """Return, by group, the words of the references and those that a filter leaves correct."""
    sources: defaultdict[str, list[DecodedCase]] = defaultdict(list)
    for each in sorted(speech, key=lambda each: each.case.utterance.number):
        sources[each.case.source].append(each)
    rows: Rows = {}
    for parts in sources.values():
        case = parts[0].case
        reference = tokens(case.reference, case.language)
        texts = {name: " ".join(part.filtered(name) for part in parts) for name in FILTERS}
        left = {name: _hits(reference, tokens(t, case.language)) for name, t in texts.items()}
        _add(rows, case.group, len(reference), left)
    return rows


def _add(rows: Rows, group: str, count: int, left: Mapping[str, int]) -> None:
    row = rows.setdefault(group, {"all": 0} | dict.fromkeys(FILTERS, 0))
    for name, value in {"all": count, **left}.items():
        row[name] += value


def _hits(reference: Sequence[str], text: Sequence[str]) -> int:
    return jiwer.process_words(" ".join(reference), " ".join(text)).hits if text else 0


def lost(rows: Rows) -> float:
    """Return the share of correct words that our filter removes."""
    before, after = (sum(row[name] for row in rows.values()) for name in ("none", "ours"))
    return 1 - after / before


def _checks(invented_: Rows, correct_: Rows) -> list[Check]:
    default = Settings().detector.value
    groups = {AS_RECORDED: default, **{_at(db): f"{default} {_at(db)}" for db in LEVELS_DB}}
    recorded = correct_[AS_RECORDED]["ours"]
    return [
        *(
            Check(f"invented texts {name}", _texts(invented_, group), MAX_INVENTED)
            for name, group in groups.items()
        ),
        Check("words lost", lost(correct_), MAX_LOST),
        *(
            Check(
                f"words {_at(db)}, of recorded",
                _share(correct_, db, recorded),
                least,
                Sense.AT_LEAST,
            )
            for db, least in QUIET_DB.items()
        ),
    ]


def _texts(invented_: Rows, group: str) -> int:
    return sum(row["ours"] for name, row in invented_.items() if name.startswith(f"{group},"))


def _share(correct_: Rows, level_db: float, recorded: int) -> float:
    return correct_[_at(level_db)]["ours"] / recorded


def _figures(rows: Rows) -> Figures:
    return {f"{name}: {key}": count for name, row in rows.items() for key, count in row.items()}


def _reasons_table(silent: Sequence[DecodedCase], speech: Sequence[DecodedCase]) -> Table:
    counts = [Counter(r for each in part for r in each.reasons) for part in (silent, speech)]
    rows = (
        (reason, *(str(count[reason]) for count in counts))
        for reason in sorted({*counts[0], *counts[1]})
    )
    title = "Texts that our filter removes, all or in part"
    return table(title, "reason", "silent", "speech", rows=rows)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_decoding(parser)
