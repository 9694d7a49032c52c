"""What each step of writing Chinese does to its accuracy, script and punctuation.

The folder's Chinese clips, as recorded and with noise, cut as the worker cuts them and decoded
without a prompt, with one that is punctuated in Simplified script, and with the same in Traditional
script, which is the one that the worker uses. Then each text is written in one script and typeset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cutting import utterances
from bench.decoding import decoded
from bench.known_utterances import SNRS_DB, mixed, noises
from bench.progress import progress
from bench.recordings import recordings
from bench.trial import Trial, parser
from consumer.chinese_conversion import converters
from consumer.core.audio.samples import from_float, to_float
from consumer.core.audio.utterance import WHISPER_RATE, Utterance
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.chinese import CODE, PROMPT, Orthography, Script
from consumer.core.text.hypothesis import Hypothesis
from consumer.detection import cascade
from consumer.errors import ConfigError
from consumer.settings import Detector
from evaluation.report import Check, Figures, Sense, table
from evaluation.scoring import score, total

SIMPLIFIED: Final = "以下是普通话的句子。"
PROMPTS: Final[Mapping[str, str | None]] = {
    "no prompt": None,
    "prompt, Simplified": SIMPLIFIED,
    "prompt, Traditional": PROMPT,
}
_MARKS: Final = frozenset("，。？！、；：,.?!;:")

Writer = Callable[[Hypothesis], str]


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """One utterance of a clip."""

    clip: str
    snr_db: float | None  # None: as recorded
    reference: str  # of the whole clip
    utterance: Utterance


def main(argv: Sequence[str]) -> int:
    trial = Trial.begin(parser("chinese", __doc__).parse_args(argv))
    if CODE not in trial.transcriber.languages:
        name = trial.transcriber.info.name
        raise ConfigError(f"{name} knows no Chinese; use a multilingual model")
    with trial.detecting():
        spoken = [*_spoken(trial.asked.data)]
    figures: Figures = {}
    columns = dict.fromkeys(_snr(each.snr_db) for each in spoken)
    shown = table("Chinese, step by step", "", *columns, "punctuated", "one script")
    for prompted, texts in _decoded(trial, spoken):
        for written, write in writers().items():
            name = f"{prompted}, {written}"
            row = _row(spoken, [write(hypothesis) for hypothesis in texts])
            figures |= {f"{name}: {column}": value for column, value in row.items()}
            shown.add_row(name, *(f"{value:.1%}" for value in row.values()))
    trial.console.print(shown)
    trial.publish(figures, _checks(figures))
    return 0


def _decoded(trial: Trial, spoken: Sequence[Spoken]) -> Iterator[tuple[str, list[Hypothesis]]]:
    """What is written behind each prompt."""
    seconds = sum(each.utterance.seconds for each in spoken)
    with progress(trial.console, len(PROMPTS) * seconds) as advance:
        for name, prompt in PROMPTS.items():
            clips = [_clip(each, prompt) for each in spoken]
            yield name, decoded(trial.transcriber, clips, advance, name)


def writers() -> dict[str, Writer]:
    """As Whisper writes, and as the worker does."""
    orthography = Orthography(converters(), Script.HANS)
    return {
        "as it is": lambda hypothesis: hypothesis.text,
        "written": lambda hypothesis: orthography.normalise(hypothesis, ()).text,
    }


def _spoken(folder: Path) -> Iterator[Spoken]:
    scorer, sounds = cascade.load(Detector.CASCADE), noises(folder)
    for index, clip in enumerate(recordings(folder, {CODE})):
        for snr_db in SNRS_DB if sounds else SNRS_DB[:1]:
            sound = clip.samples
            if snr_db is not None:
                sound = mixed(sound, sounds[index % len(sounds)], snr_db)
            for cut in utterances(from_float(sound), WHISPER_RATE, scorer, scorer.segmenter):
                yield Spoken(clip.name, snr_db, clip.reference, cut)


def _clip(spoken: Spoken, prompt: str | None) -> DecodeRequest:
    utterance = spoken.utterance
    sound, speech = to_float(utterance.samples), utterance.speech
    return DecodeRequest(sound, (CODE,), speech=speech, prompt=prompt, words=True)


def _row(spoken: Sequence[Spoken], texts: Sequence[str]) -> dict[str, float]:
    row = {
        _snr(snr_db): _cer(spoken, texts, snr_db)
        for snr_db in dict.fromkeys(e.snr_db for e in spoken)
    }
    marked = sum(not _MARKS.isdisjoint(text) for text in texts)
    to_simplified = converters()[Script.HANS]
    return row | {
        "punctuated": marked / len(texts),
        "one script": sum(to_simplified(text) == text for text in texts) / len(texts),
    }


def _cer(spoken: Sequence[Spoken], texts: Sequence[str], snr_db: float | None) -> float:
    clips: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for each, text in zip(spoken, texts, strict=True):
        if each.snr_db == snr_db:
            clips[each.clip, each.reference].append(text)
    return total(score(said, "".join(heard), CODE) for (_, said), heard in clips.items()).rate


def _snr(snr_db: float | None) -> str:
    return "CER as recorded" if snr_db is None else f"CER at {snr_db:g} dB"


def _checks(figures: Figures) -> list[Check]:
    """The steps cost no accuracy, and all is in one script."""
    plain, ours = ("no prompt, as it is", "prompt, Traditional, written")
    rate = _snr(None)
    return [
        Check("CER", _number(figures, f"{ours}: {rate}"), _number(figures, f"{plain}: {rate}")),
        Check("one script", _number(figures, f"{ours}: one script"), 1.0, Sense.AT_LEAST),
    ]


def _number(figures: Figures, name: str) -> float:
    return float(figures[name] or 0)
