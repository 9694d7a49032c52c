"""Audio seconds per wall second (RTFx) of several engines, taken in turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from bench.engine.engines.catalog import FASTER_WHISPER, Variant
from bench.engine.memory import Resident
from bench.engine.worker import EngineRunner, Pass, total_s
from bench.quality.recordings import Recording, scores
from evaluation.report import Check, Figures, Sense
from evaluation.scoring import total

# Targets: times the speed of faster-whisper by batch, of whole clips and of clips cut to 4 s.
Targets: TypeAlias = Mapping[float | None, Mapping[int, float]]
_BF16_TIMES: Final[Targets] = {None: {1: 4.0, 8: 7.0}, 4.0: {8: 12.0}}  # by AMX
_AVX2_TIMES: Final[Targets] = {None: {1: 2.5, 8: 4.0}, 4.0: {8: 9.0}}
MAX_WORDS_COST: Final = 0.15  # target: share of time that word times add


class SpeedCase(NamedTuple):
    """One engine at one kind of work."""

    engine: str
    language: str
    batch: int
    words: bool

    @property
    def name(self) -> str:
        words = "on" if self.words else "off"
        return f"{self.language}.batch_{self.batch}.words_{words}.{self.engine}"


@dataclass(frozen=True, slots=True)
class SpeedPlan:
    """What is measured."""

    own: Sequence[Variant]  # of this engine
    peers: Sequence[Variant]
    clips: Mapping[str, Sequence[Recording]]  # by language
    batches: Sequence[int]
    words: Sequence[bool]
    rounds: int
    utterance_s: float | None  # that clips were cut to; None: whole clips

    @property
    def passes(self) -> dict[SpeedCase, Pass]:
        """One round, in its order: engines that are compared follow each other."""
        return {
            SpeedCase(variant.name, language, batch, words): Pass(variant, clips, batch, words)
            for (language, clips), words, variant in product(
                self.clips.items(), self.words, (*self.own, *self.peers)
            )
            for batch in (self.batches if variant.batched else (1,))
        }


@dataclass(frozen=True, slots=True)
class CaseRuns:
    """All rounds of one case."""

    rtfx: tuple[float, ...]  # by round
    texts: tuple[str, ...]  # of the last round


def spread(name: str, rounds: Sequence[float]) -> Figures:
    """Return the median and the extremes of all rounds."""
    return {name: median(rounds), f"{name}_low": min(rounds), f"{name}_high": max(rounds)}


@dataclass(frozen=True, slots=True)
class SpeedResult:
    plan: SpeedPlan
    runs: Mapping[SpeedCase, CaseRuns]
    memory: Mapping[str, Resident]  # by engine, after everything

    def ratios(self, case: SpeedCase, peer: Variant) -> list[float]:
        """Return how many times the peer's speed a case has, by round.

        The peer gets the same batches if it accepts batches.
        """
        other = case._replace(engine=peer.name, batch=case.batch if peer.batched else 1)
        pairs = zip(self.runs[case].rtfx, self.runs[other].rtfx, strict=True)
        return [own / peers for own, peers in pairs]

    def words_cost(self, case: SpeedCase) -> list[float]:
        """Return the share of time that word times add, by round; empty: not measured both ways."""
        without = self.runs.get(case._replace(words=False))
        if not case.words or without is None:
            return []
        pairs = zip(self.runs[case].rtfx, without.rtfx, strict=True)
        return [off / on - 1 for on, off in pairs]

    def error_percent(self, case: SpeedCase) -> float | None:
        """Return the error rate; None for clips that were cut, which have no reference."""
        clips = self.plan.clips[case.language]
        if not all(clip.reference for clip in clips):
            return None
        return 100 * total(scores(clips, self.runs[case].texts)).rate

    def figures(self) -> Figures:
        found: Figures = {}
        for case, runs in self.runs.items():
            found |= spread(f"{case.name}.rtfx", runs.rtfx)
            found[f"{case.name}.error_percent"] = self.error_percent(case)
            if cost := self.words_cost(case):
                found |= spread(f"{case.name}.words_cost", cost)
        for case, peer in product(self._own_cases(self.plan.own), self.plan.peers):
            found |= spread(f"{case.name}.times_{peer.name}", self.ratios(case, peer))
        for engine, memory in self.memory.items():
            found[f"{engine}.peak_mb"] = memory.peak_mb
        return found

    def checks(self) -> Iterator[Check]:
        """Yield the checks of this engine in its first dtype."""
        own = self.plan.own[:1]
        targets = _BF16_TIMES if own[0].dtype == "bf16" else _AVX2_TIMES
        least = targets.get(self.plan.utterance_s, {})
        for case in self._own_cases(own):
            if FASTER_WHISPER in self.plan.peers and case.batch in least and not case.words:
                times = median(self.ratios(case, FASTER_WHISPER))
                name = f"{case.name}.times_faster-whisper"
                yield Check(name, times, least[case.batch], Sense.AT_LEAST)
            if cost := self.words_cost(case):
                yield Check(f"{case.name}.words_cost", median(cost), MAX_WORDS_COST)

    def _own_cases(self, variants: Iterable[Variant]) -> list[SpeedCase]:
        names = {variant.name for variant in variants}
        return [case for case in self.runs if case.engine in names]


def measure(plan: SpeedPlan, runner: EngineRunner) -> SpeedResult:
    """Run every case once a round; before the first round its first batch, untimed."""
    passes = plan.passes
    rtfx: dict[SpeedCase, list[float]] = {case: [] for case in passes}
    texts: dict[SpeedCase, tuple[str, ...]] = {}
    audio_s = plan.rounds * total_s(passes.values())
    with runner.context.progress(audio_s) as advance, ExitStack() as stack:
        workers = {v.name: stack.enter_context(runner.start(v)) for v in (*plan.own, *plan.peers)}
        for case, work in passes.items():
            workers[case.engine].transcribe(work.clips[: work.batch], words=work.words)
        for _ in range(plan.rounds):
            for case, work in passes.items():
                timed = workers[case.engine].run(work, advance)
                rtfx[case].append(work.audio_s / timed.wall_s)
                texts[case] = tuple(each.text for each in timed.texts)
        memory = {name: worker.resident() for name, worker in workers.items()}
    runs = {case: CaseRuns(tuple(found), texts[case]) for case, found in rtfx.items()}
    return SpeedResult(plan, runs, memory)
