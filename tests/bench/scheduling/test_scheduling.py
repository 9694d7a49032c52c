"""The planner in simulated time, compared with first come first served."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from bench.scheduling.run import ATTEMPTS, BUDGET, PLANNERS, recorded_lengths
from bench.scheduling.simulated_worker import FirstCome, Waits, simulate
from bench.scheduling.workload import (
    CAPACITY,
    SPEECH_SHARE,
    Scenario,
    SimulatedUtterance,
    conversation,
)
from consumer.core.scheduling.capacity import Budget
from consumer.core.scheduling.planner import Planner
from consumer.testing.simulation import BASE_ON_TWO_CORES as COST
from consumer.testing.simulation import Fallbacks

RUN_S = 40.0


@pytest.fixture(scope="module")
def lengths() -> list[float]:
    return recorded_lengths()


@pytest.fixture(scope="module")
def waits(lengths: list[float]) -> dict[tuple[str, float, str], Waits]:
    return {
        (name, load, planner): simulate(
            Scenario(name, load, RUN_S).utterances(lengths), PLANNERS[planner](), RUN_S
        )
        for name, load in (("steady", 0.5), ("steady", 0.9), ("hot", 0.5))
        for planner in PLANNERS
    }


def test_the_cost_model_gives_the_measured_times() -> None:
    """Eight utterances of 4 s in 0.43 s, one in 0.108 s (37 RTFx)."""
    assert COST.of([4.0] * 8) == pytest.approx(0.43, rel=0.03)
    assert COST.of([4.0]) == pytest.approx(0.108, rel=0.05)


def test_the_budget_is_one_that_the_engine_would_measure() -> None:
    assert 8 * 290 < BUDGET.positions < 16 * 290


def test_a_final_waits_for_the_decodes_before_it_and_its_own() -> None:
    utterances = [SimulatedUtterance("live-a", 1.0, 4.0), SimulatedUtterance("live-b", 1.0, 4.0)]
    result = simulate(utterances, FirstCome(Budget(10**6, 1)), 10.0)
    one, two = (wait_s for _, wait_s, _ in result.finals)
    assert one == pytest.approx(COST.of([4.0]), abs=0.15)  # and poll, coalescing, commit
    assert two - one == pytest.approx(COST.of([4.0]), abs=0.02)


def test_what_still_waits_at_the_end_has_waited_until_then() -> None:
    utterances = [SimulatedUtterance(f"live-{n}", 1.0, 10.0) for n in range(50)]
    result = simulate(utterances, FirstCome(Budget(10**6, 1)), 3.0)
    assert result.quantile_s(1.0) == 2.0


def test_first_come_fills_a_batch_up_to_its_budget_in_order() -> None:
    utterances = [
        SimulatedUtterance(f"live-{n}", 1.0, seconds) for n, seconds in enumerate((4, 4, 4, 4))
    ]
    assert simulate(utterances, FirstCome(Budget(700, 16)), 10.0).rows == 2


def test_a_stream_speaks_its_share_and_never_over_itself() -> None:
    spoken = [*conversation("live", [2.0, 5.0], random.Random(1), 20_000)]
    share = sum(each.seconds for each in spoken) / 20_000
    assert share == pytest.approx(SPEECH_SHARE, abs=0.02)
    assert all(two.end_s - two.seconds >= one.end_s for one, two in pairwise(spoken))


def test_load_one_is_what_the_engine_can_do(lengths: list[float]) -> None:
    offered = sum(each.seconds for each in Scenario("steady", 1.0, 300).utterances(lengths)) / 300
    assert offered == pytest.approx(CAPACITY, rel=0.05)


@pytest.mark.parametrize(
    ("name", "load", "at_most"), [("steady", 0.5, 0.95), ("steady", 0.9, 0.5), ("hot", 0.5, 0.3)]
)
def test_finals_wait_less_than_first_come_first_served(
    waits: dict[tuple[str, float, str], Waits], name: str, load: float, at_most: float
) -> None:
    p95 = {planner: waits[name, load, planner].quantile_s(0.95) for planner in PLANNERS}
    assert p95["planner"] < at_most * p95["first come, batched"]
    assert p95["planner"] < at_most * p95["one at a time"]


def test_a_hot_stream_hardly_delays_the_others(
    waits: dict[tuple[str, float, str], Waits],
) -> None:
    alone = waits["steady", 0.5, "planner"].quantile_s(0.95)
    assert waits["hot", 0.5, "planner"].quantile_s(0.95) < 2.0 * alone


def test_files_hardly_delay_live_streams(lengths: list[float]) -> None:
    files = [*Scenario("bulk", 0.5, 10.0).utterances(lengths)]
    live = [each for each in files if each.stream != "bulk"]
    alone, beside = (
        simulate(each, Planner(BUDGET), 10.0).quantile_s(0.9) for each in (live, files)
    )
    assert beside < 2.0 * alone


def test_more_gets_done_under_overload(waits: dict[tuple[str, float, str], Waits]) -> None:
    rtfx = {planner: waits["steady", 0.9, planner].rtfx for planner in PLANNERS}
    assert rtfx["planner"] > 1.2 * rtfx["first come, batched"] > 1.2 * rtfx["one at a time"]


def attempted(lengths: list[float], load: float, share: float, name: str) -> Waits:
    scenario, made = Scenario("steady", load, 150.0), ATTEMPTS[name]
    fallbacks = Fallbacks(share, in_one_call=made.in_one_call)
    planner = Planner(BUDGET, made.load())
    return simulate(scenario.utterances(lengths), planner, scenario.until_s, fallbacks)


def test_other_finals_are_hardly_delayed_by_further_attempts(lengths: list[float]) -> None:
    at_once, apart = (attempted(lengths, 0.1, 0.02, name) for name in ("at once", "apart"))
    others_s = [each.quantile_s(0.99, repeated=False) for each in (at_once, apart)]
    repeated_s = [each.quantile_s(0.5, repeated=True) for each in (at_once, apart)]
    assert others_s[1] < 0.7 * others_s[0]
    assert repeated_s[1] < 2.0 * repeated_s[0]


def test_attempts_without_room_are_not_made(lengths: list[float]) -> None:
    always, with_room = (attempted(lengths, 0.2, 0.1, name) for name in ("apart", "with room"))
    assert with_room.quantile_s(0.95) < 0.5 * always.quantile_s(0.95)


def test_a_run_repeats_itself(lengths: list[float]) -> None:
    scenario = Scenario("steady", 0.8, 5.0)
    one, two = (
        simulate(scenario.utterances(lengths), Planner(BUDGET), 5.0).finals for _ in range(2)
    )
    assert one == two
