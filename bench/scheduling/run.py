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

In other runs the text of some utterances repeats itself without end at each of three attempts: all
in one call of the engine; one a job, when the planner takes it; or so, while there is room for it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final, TypeAlias

from bench.framework import BenchContext, Findings, above_zero, data_folder
from bench.scheduling.simulated_worker import FirstCome, Waits, simulate
from bench.scheduling.workload import CAPACITY, Scenario, scenarios
from consumer.core.scheduling.capacity import Budget
from consumer.core.scheduling.engine_load import EngineLoad
from consumer.core.scheduling.planner import Planner
from consumer.testing.simulation import BASE_ON_TWO_CORES, Fallbacks
from evaluation.report import Check, Figures, Sense

BUDGET: Final = BASE_ON_TWO_CORES.budget(rows=16)
PLANNERS: Final[dict[str, Callable[[], Planner]]] = {
    "one at a time": lambda: FirstCome(Budget(1 << 30, 1)),
    "first come, batched": lambda: FirstCome(BUDGET),
    "planner": lambda: Planner(BUDGET),
}


class AlwaysRoom(EngineLoad):
    """The load of an engine that makes every attempt: what room is compared with."""

    def has_room(self, cost: int, attempt: int, now: float) -> bool:  # noqa: ARG002 - the signature
        return True


@dataclass(frozen=True, slots=True)
class Attempts:
    """How unaccepted texts are decoded again."""

    in_one_call: bool
    load: Callable[[], EngineLoad]


ATTEMPTS: Final = {
    "at once": Attempts(in_one_call=True, load=AlwaysRoom),
    "apart": Attempts(in_one_call=False, load=AlwaysRoom),
    "with room": Attempts(in_one_call=False, load=EngineLoad),
}
_REPEATED: Final = (0.02, 0.1)  # shares of utterances that need every attempt
_REPEATED_LOADS: Final = (0.05, 0.1, 0.2)
_LENGTHS: Final = Path(__file__).with_name("lengths.json")

Results: TypeAlias = Mapping[tuple[str, str], Waits]  # by scenario, and planner or attempts


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
    loads = [*product(scenarios(until_s), PLANNERS)]
    repeated = [Scenario("steady", load, until_s) for load in _REPEATED_LOADS]
    attempts = [*product(repeated, _REPEATED, ATTEMPTS)]
    waits: dict[tuple[str, str], Waits] = {}
    attempt_waits: dict[tuple[str, str], Waits] = {}
    with context.progress(len(loads) + len(attempts)) as advance:
        for scenario, name in loads:
            utterances, planner = scenario.utterances(lengths), PLANNERS[name]()
            waits[str(scenario), name] = simulate(utterances, planner, until_s)
            advance(1, f"{scenario}, {name}")
        for scenario, share, name in attempts:
            made = ATTEMPTS[name]
            planner = Planner(BUDGET, made.load())
            fallbacks = Fallbacks(share, in_one_call=made.in_one_call)
            found = simulate(scenario.utterances(lengths), planner, until_s, fallbacks)
            attempt_waits[f"{scenario}, {share:.0%} repeated", name] = found
            advance(1, f"{scenario}, {name}")
    return Findings(
        figures=_figures(waits) | _attempt_figures(attempt_waits),
        checks=[*_checks(waits)],
        measured_on={
            "simulated": "Whisper base, two CPU cores",
            "positions": BUDGET.positions,
            "rows": BUDGET.rows,
            "rtfx": round(CAPACITY),
        },
    )


def recorded_lengths() -> list[float]:
    """Return the lengths of real utterances as the segmenter cut them, in seconds."""
    lengths: list[float] = json.loads(_LENGTHS.read_text("utf-8"))
    return lengths


def _record_lengths(folder: Path) -> None:
    from bench.quality.cutting import utterance_lengths  # loads torch: not for every run

    _LENGTHS.write_text(json.dumps(utterance_lengths(folder)) + "\n", "utf-8")


def _figures(waits: Results) -> Figures:
    figures: Figures = {}
    for (load, name), result in waits.items():
        key = f"{load}, {name}"
        for percent in (50, 95, 99):
            figures[f"{key}: p{percent}_s"] = round(result.quantile_s(percent / 100), 3)
        figures[f"{key}: rtfx"] = round(result.rtfx, 1)
        figures[f"{key}: rows"] = round(result.rows, 1)
        if load.startswith("overload"):
            figures[f"{key}: last_late_s"] = round(result.last_late_s(), 1)
    return figures


def _attempt_figures(attempts: Results) -> Figures:
    return {
        f"{load}, attempts {name}: {group} p{percent}_s": round(
            result.quantile_s(percent / 100, repeated=repeated), 3
        )
        for (load, name), result in attempts.items()
        for group, repeated in (("others", False), ("repeated", True))
        for percent in (50, 95, 99)
    }


def _checks(waits: Results) -> Iterator[Check]:
    """Compare the planner with first come, batched: p95, and RTFx under overload."""
    ours, theirs = "planner", "first come, batched"
    for load in dict.fromkeys(load for load, _ in waits):
        p95_s, other_s = (waits[load, name].quantile_s(0.95) for name in (ours, theirs))
        yield Check(f"{load}: p95 by theirs", p95_s / other_s, 1.0)
    rtfx, other = (waits["steady 1.5", name].rtfx for name in (ours, theirs))
    yield Check("steady 1.5: RTFx by theirs", rtfx / other, 1.2, Sense.AT_LEAST)
