"""Audio seconds per wall second of several engines, taken in turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from rich.table import Table

from bench.engines.catalog import FASTER_WHISPER, Variant
from bench.memory import Resident
from bench.recordings import Recording, scores
from bench.worker import Stand, Worker
from evaluation.report import Check, Figures, Sense, table
from evaluation.scoring import total

Clips: TypeAlias = Mapping[str, Sequence[Recording]]  # by language

# Times faster-whisper's speed that issue B asks for, by batch, of whole clips and of cuts to 4 s.
TIMES: Final = {None: {1: 4.0, 8: 7.0}, 4.0: {8: 12.0}}
WORDS_COST: Final = 0.15


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    batches: tuple[int, ...]
    words: tuple[bool, ...]
    rounds: int
    utterance_s: float | None  # what clips were cut to; None: whole


class Case(NamedTuple):
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
class Runs:
    """All rounds of one case."""

    rtfx: tuple[float, ...]  # by round
    texts: tuple[str, ...]  # of the last one


@dataclass(frozen=True, slots=True)
class Measured:
    runs: Mapping[Case, Runs]
    memory: Mapping[str, Resident]  # by engine, after everything


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.low:.1f}-{self.high:.1f})"


def spread(values: Iterable[float]) -> Spread:
    found = sorted(values)
    return Spread(median(found), found[0], found[-1])


def work_s(plan: Plan, variants: Iterable[Variant], clips: Clips) -> float:
    """Seconds of audio that all rounds go through."""
    audio_s = sum(clip.seconds for group in clips.values() for clip in group)
    passes = sum(len(sizes(variant, plan)) for variant in variants)
    return audio_s * passes * len(plan.words) * plan.rounds


def sizes(variant: Variant, plan: Plan) -> tuple[int, ...]:
    return plan.batches if variant.batched else (1,)


def measure(plan: Plan, variants: Sequence[Variant], stand: Stand, clips: Clips) -> Measured:
    """Every case once a round; before the first its first batch, untimed."""
    with ExitStack() as stack:
        workers = [stack.enter_context(stand.worker(variant)) for variant in variants]
        for worker, case in _cases(plan, workers, clips):
            worker.transcribe(clips[case.language][: case.batch], words=case.words)
        rtfx: dict[Case, list[float]] = {}
        texts: dict[Case, tuple[str, ...]] = {}
        for _ in range(plan.rounds):
            for worker, case in _cases(plan, workers, clips):
                spoken = clips[case.language]
                timed = stand.run(worker, spoken, case.batch, words=case.words)
                audio_s = sum(clip.seconds for clip in spoken)
                rtfx.setdefault(case, []).append(audio_s / timed.wall_s)
                texts[case] = tuple(heard.text for heard in timed.heard)
        memory = {worker.variant.name: worker.resident() for worker in workers}
    return Measured({case: Runs(tuple(rtfx[case]), texts[case]) for case in rtfx}, memory)


def _cases(
    plan: Plan, workers: Sequence[Worker], languages: Iterable[str]
) -> Iterator[tuple[Worker, Case]]:
    """In the order of a round: engines that are compared stand next to each other."""
    for language, words, worker in product(languages, plan.words, workers):
        for size in sizes(worker.variant, plan):
            yield worker, Case(worker.variant.name, language, size, words)


def ratios(measured: Measured, case: Case, peer: Variant) -> Spread:
    """How many times the speed of a peer, which gets the same batches if it can take them."""
    theirs = case._replace(engine=peer.name, batch=case.batch if peer.batched else 1)
    pairs = zip(measured.runs[case].rtfx, measured.runs[theirs].rtfx, strict=True)
    return spread(our / their for our, their in pairs)


def words_cost(measured: Measured, case: Case) -> Spread | None:
    """Share of time that word times add to a case; None: not measured both ways."""
    without = measured.runs.get(case._replace(words=False))
    if not case.words or without is None:
        return None
    pairs = zip(measured.runs[case].rtfx, without.rtfx, strict=True)
    return spread(off / on - 1 for on, off in pairs)


def error_percent(runs: Runs, clips: Sequence[Recording]) -> float | None:
    """None where it is unknown what is said: in clips that were cut."""
    if not all(clip.reference for clip in clips):
        return None
    return 100 * total(scores(clips, runs.texts)).rate


def figures(
    measured: Measured,
    variants: Sequence[Variant],
    peers: Sequence[Variant],
    clips: Clips,
) -> Figures:
    """By case, and the memory by engine."""
    found: Figures = {}
    for case, runs in measured.runs.items():
        found |= _spread_figures(f"{case.name}.rtfx", spread(runs.rtfx))
        found[f"{case.name}.error_percent"] = error_percent(runs, clips[case.language])
        if (cost := words_cost(measured, case)) is not None:
            found |= _spread_figures(f"{case.name}.words_cost", cost)
    for case, peer in product(own_cases(measured, variants), peers):
        found |= _spread_figures(f"{case.name}.times_{peer.name}", ratios(measured, case, peer))
    for engine, held in measured.memory.items():
        found[f"{engine}.peak_mb"] = held.peak_mb
    return found


def _spread_figures(name: str, found: Spread) -> Figures:
    return {name: found.median, f"{name}_low": found.low, f"{name}_high": found.high}


def own_cases(measured: Measured, variants: Iterable[Variant]) -> list[Case]:
    names = {variant.name for variant in variants}
    return [case for case in measured.runs if case.engine in names]


def checks(
    measured: Measured, plan: Plan, variant: Variant, peers: Sequence[Variant]
) -> Iterator[Check]:
    """What issue B asks of the engine in the machine's best dtype."""
    for case in own_cases(measured, [variant]):
        times = TIMES.get(plan.utterance_s, {}).get(case.batch)
        if FASTER_WHISPER in peers and times and not case.words:
            found = ratios(measured, case, FASTER_WHISPER).median
            yield Check(f"{case.name}.times_faster-whisper", found, times, Sense.AT_LEAST)
        if (cost := words_cost(measured, case)) is not None:
            yield Check(f"{case.name}.words_cost", cost.median, WORDS_COST)


def tables(
    measured: Measured,
    variants: Sequence[Variant],
    peers: Sequence[Variant],
    clips: Clips,
) -> Iterator[Table]:
    ours = {*own_cases(measured, variants)}
    for language, words in dict.fromkeys((c.language, c.words) for c in measured.runs):
        title = f"{language}, word times {'on' if words else 'off'}: median (lowest-highest)"
        shown = table(title, "engine", "batch", "RTFx", "error", *(f"x {p.name}" for p in peers))
        for case, runs in measured.runs.items():
            if (case.language, case.words) == (language, words):
                error = error_percent(runs, clips[language])
                against = [str(ratios(measured, case, p)) if case in ours else "" for p in peers]
                told = "-" if error is None else f"{error:.2f} %"
                shown.add_row(case.engine, str(case.batch), str(spread(runs.rtfx)), told, *against)
        yield shown
    yield _memory_table(measured)


def _memory_table(measured: Measured) -> Table:
    shown = table("resident memory of each engine's process", "engine", "most, MB")
    for engine, held in measured.memory.items():
        shown.add_row(engine, f"{held.peak_mb:.0f}")
    return shown
