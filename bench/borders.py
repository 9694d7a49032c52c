"""What cutting costs: long recordings cut as the worker cuts them, beside each clip as a whole.

No broker and no pace: the detector, the segmenter, the engine and the guard alone, so that a busy
machine gives the same figures. With a small --gap-s hardly any pause ends an utterance, and nearly
every cut is forced. A stream may begin anywhere: --takes N has each recording begin at N offsets,
100 ms apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import options
from bench.accuracy import percent
from bench.cutting import utterances
from bench.decoding import decoded
from bench.guard import ours as guarded
from bench.live import measures
from bench.live.borders import Damage, damage
from bench.live.material import RECIPES, long_recordings, silero
from bench.live.measures import Told
from bench.live.programme import Long
from bench.live.whole import clip_of, texts_of
from bench.progress import progress
from bench.trial import Trial, parser
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Utterance
from consumer.detection import cascade
from consumer.engine.local import Transcriber
from consumer.errors import ConfigError
from consumer.settings import Settings
from evaluation.report import Check, Figures, table
from evaluation.scoring import score, tokens
from transport.arguments import positive

STEP_MS: Final = 100  # between the beginnings of two takes
_SHOWN: Final = 5  # words on each side of a cut

Cut: TypeAlias = tuple[Long, tuple[Utterance, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """A long recording as it was cut, and what was written for it."""

    long: Long
    utterances: tuple[Utterance, ...]
    texts: tuple[str, ...]  # of each, after the guard
    whole: str  # the texts of all clips, each decoded by itself

    @property
    def language(self) -> str:
        return self.long.programme.language

    @property
    def told(self) -> Told:
        return Told(self.language, self.long.reference, self.whole, " ".join(self.texts))

    @property
    def forced(self) -> list[int]:
        """Utterances that had grown too long."""
        return [n for n in self.borders if self.utterances[n].end_reason is EndReason.MAX_LENGTH]

    @property
    def paused(self) -> list[int]:
        """Utterances that ended in silence before another one came."""
        return [n for n in self.borders if n not in self.forced]

    @property
    def borders(self) -> range:
        """All that another one comes behind."""
        return range(len(self.utterances) - 1)

    def words(self, text: str) -> list[str]:
        return tokens(text, self.language)

    def damage(self, borders: Collection[int]) -> Damage:
        pieces = [self.words(text) for text in self.texts]
        return damage(self.words(self.long.reference), self.words(self.whole), pieces, borders)


def main(argv: Sequence[str]) -> int:
    trial = Trial.begin(_parser().parse_args(argv))
    asked, languages = trial.asked, trial.languages
    with trial.detecting():
        recordings = [*long_recordings(asked.data, languages, silero(), asked.gap_s)]
        if not recordings:
            raise ConfigError(f"{asked.data}: no {RECIPES}, or none in {', '.join(languages)}")
        cuts = [*_cuts(recordings, asked.takes)]
    takes = _written(trial.transcriber, cuts, trial.console)
    trial.console.print(_recordings(takes))
    trial.console.print(_places(takes))
    trial.publish(figures(takes), checks(takes))
    return 0


def _parser() -> argparse.ArgumentParser:
    made = parser("borders", __doc__)
    made.add_argument(
        "--takes", type=positive, default=1, metavar="N", help="of each recording (default: 1)"
    )
    made.add_argument(
        "--gap-s",
        type=options.above_zero,
        metavar="S",
        help="of silence between the speech of clips (default: as the recipe says)",
    )
    return made


def _cuts(recordings: Iterable[Long], takes: int) -> Iterator[Cut]:
    scorer = cascade.load(Settings().detector)
    for long in recordings:
        sound = long.programme.samples(0, long.programme.length)
        for number in range(takes):
            later = np.zeros(number * STEP_MS * WHISPER_RATE // 1000, np.int16)
            whole = np.concatenate([later, sound])
            yield long, tuple(utterances(whole, WHISPER_RATE, scorer, scorer.segmenter))


def _written(transcriber: Transcriber, cuts: Sequence[Cut], console: Console) -> list[Take]:
    clips = [placed.clip for long, _ in cuts for placed in long.programme.placed]
    asked = [
        clip_of(u.samples, long.programme.language, u.speech)
        for long, spoken in cuts
        for u in spoken
    ]
    samples = [clip.samples.size for clip in {*clips}] + [clip.samples.size for clip in asked]
    with progress(console, sum(samples) / WHISPER_RATE) as advance:
        whole = texts_of(transcriber, clips, advance)
        heard = iter(decoded(transcriber, asked, advance, "as cut"))
    return [
        Take(long, spoken, tuple(guarded(next(heard), each) for each in spoken), long.whole(whole))
        for long, spoken in cuts
    ]


def figures(takes: Sequence[Take]) -> Figures:
    found = measures.text_figures([take.told for take in takes])
    for name, whole in _by_kind(takes).items():
        found |= {f"{name}.{key}": n for key, n in measures.damage_figures(whole).items()}
    return found


def checks(takes: Sequence[Take]) -> Iterator[Check]:
    yield from measures.text_checks(figures(takes))
    yield from measures.damage_checks(_by_kind(takes)["forced"])


def _by_kind(takes: Iterable[Take]) -> dict[str, Damage]:
    found = {"forced": Damage(), "paused": Damage()}
    for take in takes:
        found["forced"] += take.damage(take.forced)
        found["paused"] += take.damage(take.paused)
    return found


def _recordings(takes: Sequence[Take]) -> Table:
    """All takes of a recording together."""
    shown = table(
        "Error rates, %, and words lost / doubled / changed at cuts that were forced, or in pauses",
        *("", "cut", "whole", "forced", "words", "in pauses", "words"),
    )
    for name, group in groupby(takes, lambda take: take.long.programme.stream_id):
        same = [*group]
        rates = (f"{rate:.2f}" for rate in _rates(same))
        counts = (cell for whole in _by_kind(same).values() for cell in _cells(whole))
        shown.add_row(name, *rates, *counts)
    return shown


def _rates(takes: Sequence[Take]) -> Iterator[float]:
    for told in ([take.told.live for take in takes], [take.whole for take in takes]):
        pairs = zip(takes, told, strict=True)
        yield percent([score(take.long.reference, text, take.language) for take, text in pairs])


def _cells(whole: Damage) -> tuple[str, str]:
    return str(whole.cuts), f"{whole.lost} / {whole.doubled} / {whole.changed}"


def _places(takes: Iterable[Take]) -> Table:
    """Forced cuts that were not clean."""
    shown = table("Where", "", "at s", "speech", "before", "after", "words")
    for take in takes:
        for number in take.forced:
            if (found := take.damage([number])) != Damage(cuts=1):
                shown.add_row(
                    take.long.programme.stream_id, *_place(take, number), _cells(found)[1]
                )
    return shown


def _place(take: Take, number: int) -> Iterator[str]:
    """Seconds, the probability of speech in the window that was cut, the words around."""
    utterance = take.utterances[number]
    before, after = (take.words(text) for text in take.texts[number : number + 2])
    yield f"{utterance.end / WHISPER_RATE:.2f}"
    yield f"{utterance.speech.probabilities[-1]:.2f}"
    yield " ".join(before[-_SHOWN:])
    yield " ".join(after[:_SHOWN])
