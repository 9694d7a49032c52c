"""How long finals wait under load, by which utterances are decoded first: a simulation.

The pipeline is the real one, in simulated time. Its engine takes the time of Whisper base on two
CPU cores as measured (one utterance of 4 s in 0.108 s, eight in 0.43 s), the lengths are those of
real utterances, and streams speak 45 % of the time. Load 1 is as much speech as full batches of
equal utterances of 4 s could take. A wait is from the record that ends an utterance to the commit
of its final.

    steady      every stream speaks in real time
    hot         one stream delivers 300 utterances at once after a quarter of the run
    bulk        2000 utterances of files wait from the beginning
    overload    1.5 times the capacity for a quarter of the run, then 0.6

In the second table one utterance in fifty is attempted three times, with a text that repeats itself
without end each time: all in one call of the engine, or one a job, when the planner takes it.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

from bench.framework import BenchContext, Findings, above_zero, data_folder
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.partition.interim import InterimPolicy
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.stream_admission import StreamLimits
from consumer.core.scheduling.capacity import Budget, positions
from consumer.core.scheduling.jobs import Batch, Job
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane, Partition, Record, UtteranceId
from consumer.core.streams.stream import StreamPolicy
from consumer.core.text.events import FinalPolicy
from consumer.testing.simulation import (
    BASE_ON_TWO_CORES,
    START_MS,
    Fallbacks,
    SimulatedEngine,
    Simulation,
    in_order,
)
from evaluation.report import Check, Figures, Sense, table
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import encode_audio
from schemas.transcript import Model

COST: Final = BASE_ON_TWO_CORES
BUDGET: Final = COST.budget(rows=16)
CAPACITY: Final = 8 * 4.0 / COST.of([4.0] * 8)  # RTFx
LATE_S: Final = 2.0
SPEECH_SHARE: Final = 0.45
HOT: Final = 300  # utterances that one stream delivers at once
BACKLOG: Final = 2000  # utterances of files
_REPEATED: Final = 0.02  # share of utterances that need every attempt
_SEED: Final = 7
_RATE: Final = 8_000
_WINDOW_MS: Final = 128  # of the detector: coarse, as nothing here depends on it
_SEGMENTER: Final = SegmenterConfig(
    window_ms=_WINDOW_MS, onset_windows=(1, 1), max_utterance_ms=30_000
)
# What the segmenter adds to the sound: pre-roll, post-roll, and half a window at each end.
_PADDING_S: Final = (_SEGMENTER.pre_roll_ms + _SEGMENTER.post_roll_ms + _WINDOW_MS) / 1000
_LEADING_S: Final = 0.4  # of silence: room for the pre-roll
_TRAILING_S: Final = 0.9  # of silence, so that the endpoint is in the same record
_LENGTHS: Final = Path(__file__).with_name("lengths.json")
_COLUMNS: Final = (0.5, 0.95, 0.99)


class FirstCome(Planner):
    """In order of arrival, as many as fit into a batch: what the planner is compared with."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._limits = budget
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def waiting_s(self, lane: Lane) -> float:
        return sum(job.utterance.seconds for job in self._jobs if job.lane is lane)

    def add(self, jobs: Iterable[Job]) -> None:
        self._jobs.extend(jobs)

    def take(self, now: float) -> Batch | None:  # noqa: ARG002 - the planner's signature
        rows = longest = 0
        for job in self._jobs:
            longest = max(longest, positions(job.utterance.seconds))
            fits = (rows + 1) * longest <= self._limits.positions and rows < self._limits.rows
            if rows and not fits:
                break
            rows += 1
        taken, self._jobs = self._jobs[:rows], self._jobs[rows:]
        return Batch(tuple(taken)) if taken else None

    def cancel(self, id_: UtteranceId) -> None:
        self._jobs = [job for job in self._jobs if job.id != id_]

    def discard_stale(self, epochs: Mapping[Partition, int]) -> None:
        self._jobs = [j for j in self._jobs if epochs.get(j.id.session.partition) == j.epoch]


PLANNERS: Final[dict[str, Callable[[], Planner]]] = {
    "one at a time": lambda: FirstCome(Budget(1 << 30, 1)),
    "first come, batched": lambda: FirstCome(BUDGET),
    "planner": lambda: Planner(BUDGET),
}
ATTEMPTS: Final = {
    "at once": Fallbacks(_REPEATED, in_one_call=True),
    "apart": Fallbacks(_REPEATED),
}


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance of a stream."""

    stream: str
    end_s: float  # when its record is appended
    seconds: float
    lane: Lane = Lane.LIVE


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which streams speak, how much and how long."""

    name: str
    load: float
    until_s: float

    def __str__(self) -> str:
        return f"{self.name} {self.load}"

    def utterances(self, lengths: Sequence[float]) -> Iterator[Utterance]:
        rng = random.Random(_SEED)
        for number in range(_streams(self.load)):
            yield from conversation(f"live-{number}", lengths, rng, self.until_s)
        if self.name == "hot":
            for _ in range(HOT):
                yield Utterance("hot", self.until_s / 4, rng.choice(lengths))
        if self.name == "bulk":
            for _ in range(BACKLOG):
                yield Utterance("bulk", 0.0, rng.choice(lengths), Lane.BULK)
        if self.name == "overload":
            for number in range(_streams(1.5 - self.load)):
                yield from conversation(f"more-{number}", lengths, rng, self.until_s / 4)


def scenarios(until_s: float) -> list[Scenario]:
    loads = {"steady": (0.5, 0.9, 1.5), "hot": (0.5, 0.8), "bulk": (0.5, 0.8), "overload": (0.6,)}
    return [Scenario(name, load, until_s) for name, many in loads.items() for load in many]


def conversation(
    stream: str, lengths: Sequence[float], rng: random.Random, until_s: float
) -> Iterator[Utterance]:
    """Yield utterances of recorded lengths, with pauses between that keep the share of speech."""
    pause_s = sum(lengths) / len(lengths) * (1 / SPEECH_SHARE - 1)
    now = rng.uniform(-2 * pause_s, 0)  # streams do not start together
    while True:
        seconds = rng.choice(lengths)
        now += rng.expovariate(1 / pause_s) + seconds
        if now >= until_s:
            return
        if now >= 0:
            yield Utterance(stream, now, seconds)


def recorded_lengths() -> list[float]:
    """Return the lengths of real utterances as the segmenter cut them, in seconds."""
    lengths: list[float] = json.loads(_LENGTHS.read_text("utf-8"))
    return lengths


def _streams(load: float) -> int:
    return round(load * CAPACITY / SPEECH_SHARE)


@dataclass(frozen=True, slots=True)
class Waits:
    """The results of one run."""

    finals: Sequence[tuple[Utterance, float, bool]]  # its wait in s, whether it needs all attempts
    rtfx: float  # seconds of audio by seconds in which the engine was busy
    rows: float  # of a batch

    def quantile_s(
        self, quantile: float, prefix: str = "live", *, repeated: bool | None = None
    ) -> float:
        """Return a quantile over the streams whose name begins so."""
        waits = [
            wait_s
            for utterance, wait_s, is_repeated in self.finals
            if utterance.stream.startswith(prefix) and repeated in {None, is_repeated}
        ]
        return float(np.quantile(waits, quantile))

    def last_late_s(self) -> float:
        """Return the end of the last utterance that waited longer than LATE_S, or 0."""
        late = (utterance.end_s for utterance, wait_s, _ in self.finals if wait_s > LATE_S)
        return max(late, default=0.0)


def simulate(
    utterances: Iterable[Utterance],
    planner: Planner,
    until_s: float,
    fallbacks: Fallbacks = Fallbacks(),  # noqa: B008 - frozen
) -> Waits:
    """Run a worker over the utterances until `until_s`; what waits then has waited until then."""
    by_stream: dict[str, list[Utterance]] = {}
    for utterance in sorted(utterances, key=lambda each: each.end_s):
        by_stream.setdefault(utterance.stream, []).append(utterance)
    engine = SimulatedEngine(COST, fallbacks, _WINDOW_MS)
    simulation = Simulation(
        logs=_logs(by_stream),
        policies={lane: _policy(lane) for lane in Lane},
        until_s=until_s,
        planner=planner,
        engine=engine,
        pause_above_s=dict.fromkeys(Lane, 1e9),  # it is the planner that is measured
        drains=False,
    )
    simulation.run()
    committed = {(final.stream_id, final.utterance): at for at, final in simulation.store.finals}
    repeated = {
        (job.id.session.stream_id, job.id.utterance)
        for batch in engine.batches
        for job in batch
        if fallbacks.affects(job)
    }
    audio_s = sum(job.utterance.seconds for batch in engine.batches for job in batch)
    return Waits(
        [
            (
                each,
                min(until_s, committed.get((name, number), until_s)) - each.end_s,
                (name, number) in repeated,
            )
            for name, spoken in by_stream.items()
            for number, each in enumerate(spoken)
        ],
        audio_s / engine.busy_s,
        sum(map(len, engine.batches)) / len(engine.batches),
    )


def _logs(by_stream: Mapping[str, Sequence[Utterance]]) -> dict[Partition, list[Record]]:
    """Return one partition for each lane, with a record for each utterance."""
    partitions = {Lane.LIVE: Partition("live", 0), Lane.BULK: Partition("bulk", 0)}
    return {
        partition: in_order(
            _record(partition, utterance, seq)
            for spoken in by_stream.values()
            for seq, utterance in enumerate(spoken)
            if utterance.lane is lane
        )
        for lane, partition in partitions.items()
    }


def _record(partition: Partition, utterance: Utterance, seq: int) -> Record:
    chunk = AudioChunk(
        utterance.stream, _payload(utterance.seconds), rate=_RATE, channels=1, seq=seq
    )
    key, value, headers = encode_audio(chunk)
    appended_ms = START_MS + round(utterance.end_s * 1000)
    return Record(partition, 0, appended_ms, key, value, tuple(headers))


@cache
def _payload(seconds: float) -> bytes:
    """Return sound of which the segmenter makes an utterance of that length, and silence."""
    sound_s = max(_SEGMENTER.min_speech_ms / 1000, seconds - _PADDING_S)
    sound = np.full(round(sound_s * _RATE), 1000, np.int16)
    before, after = (bytes(2 * round(seconds * _RATE)) for seconds in (_LEADING_S, _TRAILING_S))
    return before + sound.tobytes() + after


def _policy(lane: Lane) -> PartitionPolicy:
    options = StreamOptions(languages=("en",), words=False, partials=False, endpoint_ms=500)
    return PartitionPolicy(
        lane=lane,
        from_earliest=True,
        stream=StreamPolicy(_SEGMENTER, options, frozenset({"en"}), ""),
        split_channels=False,
        model=Model("simulated", "0" * 64, "float32", fold=True),
        finals=FinalPolicy(),
        interim=InterimPolicy(every_s=1e9, eager=False),
        final_within_s=0.5,
        limits=StreamLimits(100_000, 10_000.0),
        stall_s=1e9,
        idle_s=1e9,
    )


# --- the bench


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=above_zero, default=60.0, metavar="S", help="simulated (default: 60)"
    )
    parser.add_argument(
        "--record", type=data_folder, metavar="DIR", help="first record utterance lengths anew"
    )


def run(context: BenchContext) -> Findings:
    if context.arguments.record is not None:
        _record_lengths(context.arguments.record)
    until_s, lengths = context.arguments.seconds, recorded_lengths()
    loads = scenarios(until_s)
    doubted = [Scenario("steady", load, until_s) for load in (0.05, 0.1, 0.2)]
    with context.progress(len(loads) * len(PLANNERS) + len(doubted) * len(ATTEMPTS)) as advance:
        waits = {}
        for scenario in loads:
            for name, planner in PLANNERS.items():
                advance(0, f"{scenario}, {name}")
                waits[str(scenario), name] = simulate(
                    scenario.utterances(lengths), planner(), until_s
                )
                advance(1, "")
        attempts = {}
        for scenario in doubted:
            for name, fallbacks in ATTEMPTS.items():
                attempts[str(scenario), name] = simulate(
                    scenario.utterances(lengths), Planner(BUDGET), until_s, fallbacks
                )
                advance(1, f"{scenario}, {name}")
    return Findings(
        figures=_figures(waits) | _attempt_figures(attempts),
        checks=_checks(waits),
        measured_on={
            "simulated": "Whisper base, two CPU cores",
            "positions": BUDGET.positions,
            "rows": BUDGET.rows,
            "rtfx": round(CAPACITY),
        },
        tables=[_waits_table(waits), _attempts_table(attempts)],
    )


def _record_lengths(folder: Path) -> None:
    from bench.utterance_lengths import record  # the detector's model: not for every run

    _LENGTHS.write_text(json.dumps(record(folder)) + "\n", "utf-8")


def _waits_table(waits: Mapping[tuple[str, str], Waits]) -> Table:
    columns = [f"p{100 * quantile:.0f}" for quantile in _COLUMNS]
    shown = table("Utterance -> final, live streams, s", "load", "order", *columns, "RTFx", "rows")
    for (load, name), result in waits.items():
        found = (f"{result.quantile_s(quantile):.3g}" for quantile in _COLUMNS)
        shown.add_row(load, name, *found, f"{result.rtfx:.0f}", f"{result.rows:.1f}")
        if name == [*PLANNERS][-1]:
            shown.add_section()
    return shown


def _attempts_table(attempts: Mapping[tuple[str, str], Waits]) -> Table:
    groups = {"others": False, "repeated": True}
    columns = [f"{group} p{100 * quantile:.0f}" for group in groups for quantile in _COLUMNS]
    shown = table("With 2 % texts that repeat themselves, s", "load", "attempts", *columns)
    for key, result in attempts.items():
        found = (
            f"{result.quantile_s(quantile, repeated=repeated):.3g}"
            for repeated in groups.values()
            for quantile in _COLUMNS
        )
        shown.add_row(*key, *found)
    return shown


def _figures(waits: Mapping[tuple[str, str], Waits]) -> Figures:
    figures: Figures = {}
    for (load, name), result in waits.items():
        key = f"{load}, {name}"
        figures[f"{key}: p95_s"] = round(result.quantile_s(0.95), 3)
        figures[f"{key}: rtfx"] = round(result.rtfx, 1)
        if load.startswith("overload"):
            figures[f"{key}: last_late_s"] = round(result.last_late_s(), 1)
    return figures


def _attempt_figures(attempts: Mapping[tuple[str, str], Waits]) -> Figures:
    figures: Figures = {}
    for (load, name), result in attempts.items():
        key = f"{load}, attempts {name}"
        figures[f"{key}: others p99_s"] = round(result.quantile_s(0.99, repeated=False), 3)
        figures[f"{key}: repeated p50_s"] = round(result.quantile_s(0.5, repeated=True), 3)
    return figures


def _checks(waits: Mapping[tuple[str, str], Waits]) -> list[Check]:
    """Compare the planner with first come, batched: p95, and RTFx under overload."""
    ours, theirs = "planner", "first come, batched"
    loads = dict.fromkeys(load for load, _ in waits)
    p95 = {key: result.quantile_s(0.95) for key, result in waits.items()}
    ratios = {load: p95[load, ours] / p95[load, theirs] for load in loads}
    return [
        *(Check(f"{load}: p95 by theirs", ratio, 1.0) for load, ratio in ratios.items()),
        Check(
            "steady 1.5: RTFx by theirs",
            waits["steady 1.5", ours].rtfx / waits["steady 1.5", theirs].rtfx,
            1.2,
            Sense.AT_LEAST,
        ),
    ]
