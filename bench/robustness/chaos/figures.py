"""Figures, checks and the table of a chaos run. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.table import Table

from bench.robustness.chaos.environment import Kill
from bench.robustness.chaos.evidence import LoggedEvent, LoggedRecord
from bench.robustness.chaos.faults import FAULTS
from bench.robustness.chaos.invariants import Invariant
from bench.robustness.chaos.scenario_run import ScenarioResult
from evaluation.percentiles import percentile
from evaluation.report import Check, Figures, table
from schemas.transcript import TranscriptFinal

_SHOWN: Final = 12  # violations of each invariant
_LAST_COMMIT_S: Final = 2.0  # within which a worker's commits before its end are received
_TAKEOVER_P50_S: Final = 13.0
_TAKEOVER_MAX_S: Final = 20.0
_COMMIT_P50_S: Final = 0.060
_ROLLING_P95_S: Final = 5.0
_ENGINE_RESUMED_S: Final = 2.0


def takeovers(kills: Iterable[Kill], events: Sequence[LoggedEvent]) -> list[float]:
    """Return the seconds from each kill to the next final of a partition that was served."""
    finals = [each for each in events if isinstance(each.event, TranscriptFinal)]
    took = []
    for kill in kills:
        served = [each.at_s for each in finals if each.partition in kill.partitions]
        if later := [at_s - kill.at_s for at_s in served if at_s > kill.at_s + _LAST_COMMIT_S]:
            took.append(min(later))
    return took


def final_waits(
    records: Iterable[LoggedRecord],
    events: Iterable[LoggedEvent],
    begin_s: float = 0.0,
    end_s: float = float("inf"),
) -> list[float]:
    """Return the seconds from the record that ends an utterance to its final, as readers saw them.

    Of the finals that were received from `begin_s` to `end_s`.
    """
    received = {each.place: each.at_s for each in records}
    return [
        each.at_s - received[each.partition, each.event.source.last_offset]
        for each in events
        if isinstance(each.event, TranscriptFinal) and begin_s <= each.at_s <= end_s
    ]


def chaos_figures(result: ScenarioResult) -> Figures:
    env, scenario = result.environment, result.environment.scenario
    took, waits = takeovers(env.kills, env.log.events), final_waits(env.log.records, env.log.events)
    fired = Counter(each.name for each in result.fired if each.proof is not None)
    exits = Counter(each.code for slot in env.slots for each in slot.exits)
    ended = Counter(each.code for each in env.engine.exits) if env.engine else {}
    return {
        "seed": scenario.seed,
        "brokers": scenario.brokers,
        "workers": len(scenario.workers),
        "streams": scenario.streams,
        "partitions": scenario.partitions,
        "seconds": scenario.seconds,
        **result.verdict.counts,
        **{f"worker exits {code}": count for code, count in sorted(exits.items())},
        **{f"engine exits {code}": count for code, count in sorted(ended.items())},
        **{f"fired {name}": count for name, count in fired.items()},
        "faults fired": fired.total(),
        "faults not fired": len(result.fired) - fired.total(),
        "kinds fired": len(fired),
        "takeovers": len(took),
        "takeover p50 s": percentile(took, 0.5),
        "takeover max s": max(took, default=None),
        "engine resumed max s": max(env.resumed_s, default=None),
        "commit p50 s": result.commits.quantile(0.5),
        "commit p95 s": result.commits.quantile(0.95),
        "commits timed": result.commits.total,
        "final wait p50 s": percentile(waits, 0.5),
        "final wait p95 s": percentile(waits, 0.95),
        "final wait max s": max(waits, default=None),
    }


def chaos_checks(result: ScenarioResult) -> Iterator[Check]:
    env, log = result.environment, result.environment.log
    for invariant in Invariant:
        yield Check(invariant, len(result.verdict.violations[invariant]), 0)
    yield Check("workers or publishers unwell", len(result.problems), 0)
    if took := takeovers(env.kills, log.events):
        yield Check("takeover p50 s", percentile(took, 0.5) or 0.0, _TAKEOVER_P50_S)
        yield Check("takeover max s", max(took), _TAKEOVER_MAX_S)
    if env.resumed_s:
        yield Check("engine resumed max s", max(env.resumed_s), _ENGINE_RESUMED_S)
    if (commit := result.commits.quantile(0.5)) is not None:
        yield Check("commit p50 s", commit, _COMMIT_P50_S, required=False)
    rolled = [each for each in result.fired if each.name == "rolling" and each.proof]
    if waits := [
        wait
        for each in rolled
        for wait in final_waits(log.records, log.events, each.begin_s, each.end_s)
    ]:
        yield Check("rolling: final wait p95 s", percentile(waits, 0.95) or 0.0, _ROLLING_P95_S)


def chaos_table(result: ScenarioResult) -> Table:
    shown = table("faults", "fault", "row", "fired", "of", "the last proof")
    for name, fault in FAULTS.items():
        tried = [each for each in result.fired if each.name == name]
        proofs = [each.proof for each in tried if each.proof is not None]
        if tried:
            last = proofs[-1] if proofs else "-"
            shown.add_row(name, str(fault.row), str(len(proofs)), str(len(tried)), last)
    return shown


def chaos_problems(result: ScenarioResult) -> Iterator[str]:
    """Yield a line for each fault that did not happen, each problem and each violation."""
    for each in result.fired:
        if each.proof is None:
            yield f"  not fired: {each.name}: {each.problem}"
    yield from (f"  unwell: {problem}" for problem in result.problems)
    for invariant, lines in result.verdict.violations.items():
        yield from (f"  {invariant}: {line}" for line in lines[:_SHOWN])
        if len(lines) > _SHOWN:
            yield f"  {invariant}: ... {len(lines)} in all"
