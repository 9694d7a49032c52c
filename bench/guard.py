"""Whether text is invented where nothing is said, and what guarding against it costs.

Non-speech: the folder's clips without words, and eleven minutes of silence, noise, tones and music,
cut by each detector and decoded as Chinese and as English. Speech: the folder's English and Chinese
clips, as recorded and with noise, cut as the worker cuts them. Both stand as without a guard, by
openai-whisper's rule alone, and by ours, layer by layer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jiwer
from rich.console import Console
from rich.table import Table

from bench.cutting import utterances
from bench.decoding import decoded
from bench.known_utterances import SNRS_DB, mixed, noises, nonspeech
from bench.progress import progress
from bench.recordings import recordings
from bench.silences import silences
from bench.trial import Trial, parser
from consumer.core.audio.samples import from_float, to_float
from consumer.core.audio.utterance import WHISPER_RATE, Utterance
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.chinese import prompt
from consumer.core.text.hallucination import MAX_NO_SPEECH_PROB, MIN_AVG_LOGPROB
from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.quality import assess
from consumer.detection import cascade
from consumer.engine.local import Transcriber
from consumer.settings import Detector, Settings
from evaluation.report import Check, Figures, table
from evaluation.scoring import tokens

MAX_INVENTED: Final = 1  # texts on all non-speech, behind the default detector
MAX_LOST: Final = 0.005  # share of true words

Guard = Callable[[Hypothesis, Utterance], str]  # what stands of a text


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One utterance, as a detector cut it."""

    source: str  # of which utterances belong together
    group: str  # a row of the tables
    language: str  # Whisper code
    utterance: Utterance
    reference: str = ""  # of the whole source; empty: nothing is said


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """And what Whisper wrote for it."""

    case: Case
    hypothesis: Hypothesis

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why ours takes something away; empty where it does not."""
        judged = assess(
            self.hypothesis, self.case.utterance, prompt(self.hypothesis.language, None)
        )
        return judged.quality.reasons if judged.removed else ()

    def text(self, guard: Guard) -> str:
        return guard(self.hypothesis, self.case.utterance)


def unguarded(hypothesis: Hypothesis, _: Utterance) -> str:
    return hypothesis.text


def whispers(hypothesis: Hypothesis, _: Utterance) -> str:
    """openai-whisper's own rule."""
    silent = hypothesis.no_speech_prob > MAX_NO_SPEECH_PROB
    return "" if silent and hypothesis.avg_logprob < MIN_AVG_LOGPROB else hypothesis.text


def ours(hypothesis: Hypothesis, utterance: Utterance) -> str:
    judged = assess(hypothesis, utterance, prompt(hypothesis.language, None))
    return "" if judged.is_suppressed else judged.hypothesis.text


GUARDS: Final[Mapping[str, Guard]] = {"none": unguarded, "Whisper's": whispers, "ours": ours}


def main(argv: Sequence[str]) -> int:
    trial = Trial.begin(parser("guard", __doc__).parse_args(argv))
    data, languages = trial.asked.data, trial.languages
    with trial.detecting():
        cases = [*_silent(data, languages), *_spoken(data, languages)]
    written = _written(trial.transcriber, cases, trial.console)
    silent = [each for each in written if not each.case.reference]
    spoken = [each for each in written if each.case.reference]
    invented_, right_ = invented(silent), right(spoken)
    trial.console.print(_table("Texts where nothing is said", "utterances", invented_))
    trial.console.print(_table("True words or characters", "said", right_))
    trial.console.print(_layers(silent, spoken))
    trial.publish(_figures(invented_, right_), _checks(invented_, right_))
    return 0


def _silent(folder: Path, languages: Sequence[str]) -> Iterator[Case]:
    sounds = [*nonspeech(folder), *silences()]
    for detector in Detector:
        scorer = cascade.load(detector)
        for name, samples in sounds:
            for cut in utterances(samples, WHISPER_RATE, scorer, scorer.segmenter):
                yield from (Case(name, detector.value, code, cut) for code in languages)


def _spoken(folder: Path, languages: Sequence[str]) -> Iterator[Case]:
    scorer = cascade.load(Detector.CASCADE)
    sounds = noises(folder)
    for index, clip in enumerate(recordings(folder, languages)):
        for snr_db in SNRS_DB if sounds else SNRS_DB[:1]:
            group = "as recorded" if snr_db is None else f"noise at {snr_db:g} dB"
            sound = clip.samples
            if snr_db is not None:
                sound = mixed(sound, sounds[index % len(sounds)], snr_db)
            for cut in utterances(from_float(sound), WHISPER_RATE, scorer, scorer.segmenter):
                yield Case(f"{clip.name}, {group}", group, clip.language, cut, clip.reference)


def _written(transcriber: Transcriber, cases: Sequence[Case], console: Console) -> list[Written]:
    with progress(console, sum(case.utterance.seconds for case in cases)) as advance:
        found = decoded(transcriber, [_clip(case) for case in cases], advance, "utterances")
    return [Written(case, text) for case, text in zip(cases, found, strict=True)]


def _clip(case: Case) -> DecodeRequest:
    return DecodeRequest(
        to_float(case.utterance.samples),
        (case.language,),
        speech=case.utterance.speech,
        prompt=prompt(case.language, None),
        words=True,
    )


Rows = dict[str, dict[str, int]]  # by group: how many in all, and by guard


def invented(silent: Sequence[Written]) -> Rows:
    """By detector and language: utterances, and texts that stand."""
    rows: Rows = {}
    for each in silent:
        name = f"{each.case.group}, {each.case.language}"
        row = rows.setdefault(name, {"all": 0} | dict.fromkeys(GUARDS, 0))
        row["all"] += 1
        for guard, stands in GUARDS.items():
            row[guard] += bool(each.text(stands))
    return rows


def right(spoken: Sequence[Written]) -> Rows:
    """By group: words said, and how many are right in the texts that stand."""
    sources: defaultdict[str, list[Written]] = defaultdict(list)
    for each in sorted(spoken, key=lambda each: each.case.utterance.number):
        sources[each.case.source].append(each)
    rows: Rows = {}
    for parts in sources.values():
        case = parts[0].case
        said = tokens(case.reference, case.language)
        row = rows.setdefault(case.group, {"all": 0} | dict.fromkeys(GUARDS, 0))
        row["all"] += len(said)
        for guard, stands in GUARDS.items():
            heard = tokens(" ".join(part.text(stands) for part in parts), case.language)
            row[guard] += jiwer.process_words(" ".join(said), " ".join(heard)).hits if heard else 0
    return rows


def _table(title: str, total: str, rows: Rows) -> Table:
    shown = table(title, "", total, *GUARDS)
    for name, row in rows.items():
        shown.add_row(name, *map(str, row.values()))
    return shown


def _layers(silent: Sequence[Written], spoken: Sequence[Written]) -> Table:
    """How often each reason took text away."""
    counts = [
        Counter(reason for each in part for reason in each.reasons) for part in (silent, spoken)
    ]
    shown = table("Texts that ours takes away, all or in part, by reason", "", "silent", "spoken")
    for reason in sorted({*counts[0], *counts[1]}):
        shown.add_row(reason, *(str(count[reason]) for count in counts))
    return shown


def lost(rows: Rows) -> float:
    """Share of the words that would be right."""
    before, after = (sum(row[guard] for row in rows.values()) for guard in ("none", "ours"))
    return 1 - after / before


def _checks(invented_: Rows, right_: Rows) -> list[Check]:
    default = Settings().detector.value
    texts = sum(row["ours"] for name, row in invented_.items() if name.startswith(default))
    return [
        Check("invented texts", texts, MAX_INVENTED),
        Check("words lost", lost(right_), MAX_LOST),
    ]


def _figures(*tables: Rows) -> Figures:
    return {
        f"{name}: {column}": count
        for rows in tables
        for name, row in rows.items()
        for column, count in row.items()
    }
