"""How long finals wait under load, by which utterances go first: a simulation.

The engine's time is that of Whisper base on two CPU cores as first measured (one utterance of 4 s
in 0.108 s, eight in 0.43 s), the lengths are those of real utterances, and streams talk 45 % of the
time. Load 1 is as much speech as full batches of equal utterances of 4 s could take.

    steady      every stream talks in real time
    hot         one stream delivers 300 utterances at once after a quarter of the run
    bulk        2000 utterances of files wait from the beginning
    overload    1.5 times the capacity for a quarter of the run, then 0.6

Of the second table's utterances one in fifty is tried three times, a text without end each time:
at once, in one call of the engine, or apart, when the planner says.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.options import above_zero, data_folder, writable
from bench.queueing import Cost, Engine, FirstCome, Outcome, Policy, Talk, simulate, stream
from consumer.core.scheduling.capacity import BatchTiming, Budget, measured_budget, positions
from consumer.core.scheduling.jobs import Job
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane
from evaluation.report import Check, Figures, Sense, publish, table

CPU: Final = Cost(position_s=93.8e-6, step_s=2.6e-3, row_step_s=0.76e-3)
ROWS: Final = 16
LATE_S: Final = 2.0
DOUBTFUL: Final = 0.02
_SEED: Final = 7


def _timing(rows: int, seconds: float = 4.0) -> BatchTiming:
    return BatchTiming(rows * positions(seconds), CPU.of([seconds] * rows))


BUDGET: Final = measured_budget(_timing(1), _timing(8), rows=ROWS)
CAPACITY: Final = 8 * 4.0 / CPU.of([4.0] * 8)  # RTFx
POLICIES: Final[dict[str, Callable[[], Policy]]] = {
    "one at a time": lambda: FirstCome(Budget(1 << 30, 1)),
    "first come, batched": lambda: FirstCome(BUDGET),
    "planner": lambda: Planner(BUDGET),
}


ATTEMPTS: Final = {
    "at once": Engine(CPU, DOUBTFUL, at_once=True),
    "apart": Engine(CPU, DOUBTFUL),
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who speaks, how much and how long."""

    name: str
    load: float
    until_s: float

    def __str__(self) -> str:
        return f"{self.name} {self.load}"

    def jobs(self, lengths: Sequence[float]) -> list[Job]:
        """In order of their ends."""
        return sorted(self._all(lengths), key=lambda job: job.closed_at)

    def _all(self, lengths: Sequence[float]) -> Iterator[Job]:
        rng = random.Random(_SEED)
        talk = Talk(lengths)
        for number in range(_streams(self.load, talk)):
            yield from stream(f"live-{number}", talk.closed(rng, self.until_s))
        if self.name == "hot":
            burst = ((self.until_s / 4, rng.choice(lengths)) for _ in range(300))
            yield from stream("hot", burst)
        if self.name == "bulk":
            backlog = ((0.0, rng.choice(lengths)) for _ in range(2000))
            yield from stream("bulk", backlog, Lane.BULK)
        if self.name == "overload":
            for number in range(_streams(1.5 - self.load, talk)):
                yield from stream(f"more-{number}", talk.closed(rng, self.until_s / 4))


def _streams(load: float, talk: Talk) -> int:
    return round(load * CAPACITY / talk.share)


def scenarios(until_s: float) -> list[Scenario]:
    told = (
        *(("steady", load) for load in (0.5, 0.9, 1.5)),
        *(("hot", load) for load in (0.5, 0.8)),
        *(("bulk", load) for load in (0.5, 0.8)),
        ("overload", 0.6),
    )
    return [Scenario(name, load, until_s) for name, load in told]


def _doubtful(until_s: float) -> list[Scenario]:
    return [Scenario("steady", load, until_s) for load in (0.05, 0.1, 0.2)]


def recorded_lengths() -> list[float]:
    """Seconds of real utterances, as the segmenter cut them."""
    lengths: list[float] = json.loads(files("bench").joinpath("lengths.json").read_text("utf-8"))
    return lengths


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    console = Console()
    if args.record:
        _record(args.record, Path(__file__).with_name("lengths.json"))
    lengths = recorded_lengths()
    shown = table(
        "Utterance closed -> final, live streams, s", "load", "policy", *_COLUMNS, "RTFx", "rows"
    )
    outcomes: dict[tuple[str, str], Outcome] = {}
    for scenario in scenarios(args.seconds):
        jobs = scenario.jobs(lengths)
        for name, policy in POLICIES.items():
            outcome = simulate(policy(), jobs, Engine(CPU), scenario.until_s)
            outcomes[str(scenario), name] = outcome
            _show(shown, str(scenario), name, outcome)
        shown.add_section()
    console.print(shown)
    attempts = {
        (str(scenario), name): simulate(
            Planner(BUDGET), scenario.jobs(lengths), engine, scenario.until_s
        )
        for scenario in _doubtful(args.seconds)
        for name, engine in ATTEMPTS.items()
    }
    console.print(_shown_attempts(attempts))
    figures = _figures(outcomes) | _attempt_figures(attempts)
    publish(console, args.json, _ASSUMED, figures, _checks(outcomes))
    return 0


_COLUMNS: Final = ("p50", "p95", "p99")
_ASSUMED: Final = {
    "simulated": "Whisper base, two CPU cores",
    "positions": BUDGET.positions,
    "rows": BUDGET.rows,
    "rtfx": round(CAPACITY),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench schedule",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=writable, metavar="FILE", help="write figures and checks")
    parser.add_argument(
        "--seconds", type=above_zero, default=600.0, metavar="S", help="simulated (default: 600)"
    )
    parser.add_argument(
        "--record", type=data_folder, metavar="DIR", help="first record utterance lengths anew"
    )
    return parser


def _show(shown: Table, load: str, name: str, outcome: Outcome) -> None:
    waits = (outcome.wait_s(float(p[1:]) / 100, "live") for p in _COLUMNS)
    rows = outcome.rows / outcome.batches
    shown.add_row(load, name, *(f"{w:.3g}" for w in waits), f"{outcome.rtfx:.0f}", f"{rows:.1f}")


def _shown_attempts(outcomes: dict[tuple[str, str], Outcome]) -> Table:
    others = [f"others {p}" for p in _COLUMNS]
    loops = [f"loops {p}" for p in _COLUMNS]
    shown = table("Where 2 % loop, s", "load", "tried", *others, *loops)
    for key, outcome in outcomes.items():
        shown.add_row(*key, *(f"{each:.3g}" for each in _attempt_waits(outcome)))
    return shown


def _attempt_waits(outcome: Outcome) -> list[float]:
    """Of others and of loops, each by its columns."""
    quantiles = [float(column[1:]) / 100 for column in _COLUMNS]
    return [outcome.wait_s(each, loops=loops) for loops in (False, True) for each in quantiles]


def _attempt_figures(outcomes: dict[tuple[str, str], Outcome]) -> Figures:
    figures: Figures = {}
    for (load, name), outcome in outcomes.items():
        key = f"{load}, tried {name}"
        figures[f"{key}: others p99_s"] = round(outcome.wait_s(0.99, loops=False), 3)
        figures[f"{key}: loops p50_s"] = round(outcome.wait_s(0.5, loops=True), 3)
    return figures


def _figures(outcomes: dict[tuple[str, str], Outcome]) -> Figures:
    figures: Figures = {}
    for (load, name), outcome in outcomes.items():
        key = f"{load}, {name}"
        figures[f"{key}: p95_s"] = round(outcome.wait_s(0.95, "live"), 3)
        figures[f"{key}: rtfx"] = round(outcome.rtfx, 1)
        if load.startswith("overload"):
            figures[f"{key}: last_late_s"] = round(outcome.last_late_s(LATE_S), 1)
    return figures


def _checks(outcomes: dict[tuple[str, str], Outcome]) -> list[Check]:
    """The planner against first come in batches, by p95 and by what the engine gets done."""
    ours, theirs = "planner", "first come, batched"
    loads = dict.fromkeys(load for load, _ in outcomes)
    p95 = {key: outcome.wait_s(0.95, "live") for key, outcome in outcomes.items()}
    return [
        *(Check(f"{x}: p95 by theirs", p95[x, ours] / p95[x, theirs], 1.0) for x in loads),
        Check(
            "steady 1.5: RTFx by theirs",
            outcomes["steady 1.5", ours].rtfx / outcomes["steady 1.5", theirs].rtfx,
            1.2,
            Sense.AT_LEAST,
        ),
    ]


def _record(folder: Path, file: Path) -> None:
    from bench.utterance_lengths import record

    file.write_text(json.dumps(record(folder)) + "\n", "utf-8")
