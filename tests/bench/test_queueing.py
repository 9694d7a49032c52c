"""The simulated queue: what it counts, and what the planner is worth in it."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from bench.queueing import Cost, Engine, FirstCome, Talk, simulate, stream
from bench.schedule import ATTEMPTS, BUDGET, CPU, POLICIES, Scenario, recorded_lengths
from consumer.core.scheduling.capacity import Budget
from consumer.core.scheduling.jobs import Job
from consumer.core.scheduling.planner import Planner

UNIT = Cost(position_s=0, step_s=0, row_step_s=1.0, tokens_per_s=1.0, extra_tokens=0)
FLAT = Engine(UNIT)  # 1 RTFx


def ended(*utterances: tuple[float, float], name: str = "live") -> list[Job]:
    """(end, seconds) of each."""
    return [*stream(name, iter(utterances))]


def test_engine_figures_are_those_that_were_measured() -> None:
    """engine.md's: eight utterances of 4 s in 0.43 s, one in 0.108 s (37 RTFx)."""
    assert CPU.of([4.0] * 8) == pytest.approx(0.43, rel=0.03)
    assert CPU.of([4.0]) == pytest.approx(0.108, rel=0.05)


def test_a_final_waits_for_the_engine_and_for_itself() -> None:
    outcome = simulate(FirstCome(Budget(10**6, 1)), ended((1, 2), (2, 3)), FLAT, 100)
    assert [final.wait_s for final in outcome.finals] == [2, 4]
    assert outcome.busy_s == outcome.audio_s == 5


def test_what_still_waits_at_the_end_has_waited_until_then() -> None:
    jobs = [*ended((1, 9), name="a"), *ended((2, 9), name="b")]
    outcome = simulate(FirstCome(Budget(10**6, 1)), jobs, FLAT, 5)
    assert (outcome.wait_s(1.0, "a"), outcome.wait_s(1.0, "b")) == (9, 3)


def test_a_final_is_out_when_those_of_its_stream_before_it_are() -> None:
    class LastFirst(FirstCome):
        def take(self, now: float):
            self._jobs.reverse()
            return super().take(now)

    outcome = simulate(LastFirst(Budget(10**6, 1)), ended((0, 1), (0, 2)), FLAT, 100)
    assert [final.wait_s for final in outcome.finals] == [3, 3]


def test_first_come_fills_a_batch_up_to_its_budget_in_order() -> None:
    policy = FirstCome(Budget(positions=700, rows=16))
    policy.add(ended((0, 4), (0, 4), (0, 0.5), (0, 4)))
    batch = policy.take(0)
    assert batch is not None
    assert [job.utterance.number for job in batch.jobs] == [0, 1]


def test_a_stream_talks_its_share_and_never_over_itself() -> None:
    told = [*Talk([2.0, 5.0], share=0.45).closed(random.Random(1), 20_000)]
    assert sum(seconds for _, seconds in told) / 20_000 == pytest.approx(0.45, abs=0.02)
    assert all(end - seconds >= before for (before, _), (end, seconds) in pairwise(told))


def test_load_one_is_what_the_engine_can_do() -> None:
    jobs = Scenario("steady", 1.0, 300).jobs(recorded_lengths())
    offered = sum(job.utterance.seconds for job in jobs) / 300
    assert offered == pytest.approx(8 * 4 / CPU.of([4.0] * 8), rel=0.05)


@pytest.fixture(scope="module")
def lengths() -> list[float]:
    return recorded_lengths()


def p95(name: str, load: float, policy: str, lengths: list[float], until_s: float = 150) -> float:
    scenario = Scenario(name, load, until_s)
    jobs = scenario.jobs(lengths)
    return simulate(POLICIES[policy](), jobs, Engine(CPU), until_s).wait_s(0.95, "live")


@pytest.mark.parametrize(
    ("name", "load", "at_most"),
    [("steady", 0.5, 0.9), ("steady", 0.9, 0.3), ("hot", 0.5, 0.3), ("bulk", 0.5, 0.1)],
)
def test_finals_wait_less_than_first_come_first_served(
    name: str, load: float, at_most: float, lengths: list[float]
) -> None:
    ours = p95(name, load, "planner", lengths)
    assert ours < at_most * p95(name, load, "first come, batched", lengths)
    assert ours < at_most * p95(name, load, "one at a time", lengths)


@pytest.mark.parametrize("name", ["hot", "bulk"])
def test_others_hardly_feel_a_hot_stream_or_a_file(name: str, lengths: list[float]) -> None:
    alone = p95("steady", 0.5, "planner", lengths)
    assert p95(name, 0.5, "planner", lengths) < 1.6 * alone


def test_more_gets_done_when_too_much_is_asked(lengths: list[float]) -> None:
    jobs = Scenario("steady", 1.5, 150).jobs(lengths)
    engine = Engine(CPU)
    done = {name: simulate(policy(), jobs, engine, 150).rtfx for name, policy in POLICIES.items()}
    assert done["planner"] > 1.2 * done["first come, batched"] > 1.2 * done["one at a time"]


def test_all_attempts_take_as_long_in_one_call_as_one_a_call() -> None:
    (job,) = ended((0, 4))
    took = Engine(CPU, doubtful=1.0, at_once=True).takes_s([job])
    one_by_one = FirstCome(Budget(10**6, 1))
    outcome = simulate(one_by_one, [job], Engine(CPU, doubtful=1.0), 100)
    assert outcome.busy_s == pytest.approx(took)
    assert outcome.batches == 3


def test_others_hardly_feel_what_is_decoded_again(lengths: list[float]) -> None:
    jobs = Scenario("steady", 0.1, 600).jobs(lengths)
    waits = {
        name: [
            simulate(Planner(BUDGET), jobs, engine, 600).wait_s(0.99, loops=loops)
            for loops in (False, True)
        ]
        for name, engine in ATTEMPTS.items()
    }
    assert waits["apart"][0] < 0.6 * waits["at once"][0]
    assert waits["apart"][1] < 1.5 * waits["at once"][1]


def test_a_run_repeats_itself(lengths: list[float]) -> None:
    one, two = (p95("hot", 0.8, "planner", lengths, until_s=60) for _ in range(2))
    assert one == two


def test_the_budget_of_the_simulation_is_one_that_the_engine_would_measure() -> None:
    assert 8 * 290 < BUDGET.positions < 16 * 290
