"""Chaos in short: real broker, real workers, a few faults, and bugs that have to be caught."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench.framework import BenchContext, Findings, measure
from bench.robustness.chaos import run
from bench.robustness.chaos.environment import cluster
from bench.robustness.chaos.faults import FAULTS
from devstack.kafka import LocalKafka

# Arguments by the name of a scenario. All run at the same time, on one broker.
SCENARIOS = {
    "kills": "--faults kill-sends-done,kill-end-sent,reset-behind-end --streams 6",
    "engine": "--engine-process --faults kill-engine --streams 4",
    "rights": "--faults revoke --streams 3",
    "commit-first": "--faults kill-hung --planted-bug commit-first --streams 4",
    "publish-first": "--faults kill-end-answered --planted-bug publish-first --streams 4",
}
WORKERS = {name: [f"W{2 * n}", f"W{2 * n + 1}"] for n, name in enumerate(SCENARIOS)}


def parsed(line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    run.arguments(parser)
    return parser.parse_args(line.split())


async def measured(name: str, kafka: LocalKafka) -> Findings:
    context = BenchContext(parsed(f"{SCENARIOS[name]} --brokers 1 --partitions 2 --rounds 1"))
    scenario = replace(
        run.scenario_of(context.arguments), name=name, workers=WORKERS[name], rest_s=(1.0, 2.0)
    )
    return await run.measure_scenario(context, scenario, kafka)


@pytest.fixture(scope="module")
def findings() -> Iterator[dict[str, Findings]]:
    """What came of each scenario."""

    async def measure_all() -> dict[str, Findings]:
        workers = [worker for pair in WORKERS.values() for worker in pair]
        async with cluster(1, workers) as kafka, asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(measured(name, kafka)) for name in SCENARIOS}
        return {name: task.result() for name, task in tasks.items()}

    level = logging.getLogger("aiokafka").level
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    yield asyncio.run(measure_all())
    logging.getLogger("aiokafka").setLevel(level)


def violations(findings: Findings) -> dict[str, float]:
    """Return the number of violations by the number of the invariant, where there are any."""
    found = {check.name.split()[0]: check.value for check in findings.checks}
    return {name: value for name, value in found.items() if name[0] == "I" and value > 0}


@pytest.mark.broker
@pytest.mark.parametrize(("scenario", "fired"), [("kills", 3), ("engine", 1)])
def test_nothing_is_lost_or_repeated(
    scenario: str, fired: int, findings: dict[str, Findings]
) -> None:
    found = findings[scenario]
    assert violations(found) == {}, found.notes
    assert found.figures["faults fired"] == fired
    assert found.figures["speech.transcript.final"] >= 10 * fired


@pytest.mark.broker
def test_rights_taken_in_flight_halt_with_a_line_that_names_the_topic(
    findings: dict[str, Findings],
) -> None:
    found = findings["rights"]
    assert violations(found) == {}, found.notes
    assert found.figures["faults fired"] == 1


@pytest.mark.broker
@pytest.mark.parametrize(("bug", "invariant"), [("commit-first", "I3"), ("publish-first", "I1")])
def test_a_planted_bug_is_caught(bug: str, invariant: str, findings: dict[str, Findings]) -> None:
    found = findings[bug]
    assert found.figures["faults fired"] == 1
    assert violations(found)[invariant] > 0


def test_faults_are_those_that_are_named() -> None:
    assert run.scenario_of(parsed("--faults none")).faults == ()
    assert run.scenario_of(parsed("--faults kill,block")).faults == (
        FAULTS["kill"],
        FAULTS["block"],
    )
    names = {fault.name for fault in run.scenario_of(parsed("")).faults}
    assert names == FAULTS.keys() - {"rolling", "corrupt-on-disk"}


@pytest.mark.parametrize("line", ["--faults meteor", "--brokers 2", "--planted-bug sleep-first"])
def test_a_wrong_argument_is_named(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        measure("chaos", run.__name__, line.split())
    assert ended.value.code == 2
    assert line.split()[1] in capsys.readouterr().err
