"""One run of a scenario, from the first record to the verdict."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from aiokafka.errors import KafkaError
from prometheus_client.samples import Sample

from bench.framework import Advance
from bench.robustness.chaos.environment import ChaosEnvironment, ChaosScenario, Fault, environment
from bench.robustness.chaos.event_log import read_events
from bench.robustness.chaos.evidence import (
    LoggedEvent,
    PartitionProgress,
    RunEvidence,
    stream_logs,
)
from bench.robustness.chaos.invariants import RunVerdict, check
from bench.robustness.chaos.process_slots import NotFired, wait_until
from bench.robustness.chaos.speech_spans import speech_spans
from bench.scraped import TIMEOUT, scraped
from consumer.detection import cascade
from consumer.errors import SttError
from consumer.inference.device import set_threads
from consumer.settings import Detector
from devstack.errors import DevstackError
from devstack.kafka import LocalKafka
from evaluation.percentiles import BucketCounts
from schemas.transcript import TranscriptFinal
from transport.errors import TransportError

_FIRST_FINAL_S: Final = 30.0
_CATCH_UP_S: Final = 60.0
_QUIET_S: Final = 2.0  # after a fault, before commit times count again
_POLL_S: Final = 0.5
_SCRAPE_S: Final = 1.0
_COMMITS: Final = "streamscribe_commit_seconds_bucket"
_FAULT_ERRORS: Final = (NotFired, OSError, KafkaError, SttError, DevstackError, TransportError)


@dataclass(frozen=True, slots=True)
class FiredFault:
    """One fault, and the proof that it happened."""

    name: str
    begin_s: float  # monotonic
    end_s: float  # when all was whole again
    proof: str | None  # None: it did not happen
    problem: str = ""  # then: why


@dataclass(slots=True)
class ScenarioResult:
    """What a run leaves behind; collected while it runs."""

    environment: ChaosEnvironment
    evidence: RunEvidence = field(init=False)  # at the end, like the verdict
    verdict: RunVerdict = field(init=False)
    fired: list[FiredFault] = field(default_factory=list)
    commits: BucketCounts = field(default_factory=BucketCounts)  # times outside of faults
    problems: list[str] = field(default_factory=list)  # of the bench, or of workers that stay away
    quiet_from_s: float = 0.0  # no fault runs then, or has just ended


async def run_scenario(
    scenario: ChaosScenario, folder: Path, advance: Advance, kafka: LocalKafka | None = None
) -> ScenarioResult:
    """Run a scenario; logs and data lie in `folder`. `kafka`: a running `cluster`, or None."""
    async with environment(scenario, folder, kafka) as env:
        result = ScenarioResult(env)
        async with asyncio.TaskGroup() as group:
            group.create_task(env.publishers.run(scenario.streams))
            timing = group.create_task(_time_commits(result))
            await _fire_all(result, advance)
            env.publishers.stop()
            timing.cancel()
        advance(0, "draining")
        progress = await drained(env)
        reread = await read_events(env.kafka.bootstrap, env.topics.transcripts)
        await wait_until(lambda: len(env.log.events) >= len(reread), _CATCH_UP_S)
    advance(0, "checking")
    result.problems += env.publishers.failures
    result.evidence = await asyncio.to_thread(_evidence, env, reread, progress)
    result.verdict = check(result.evidence)
    return result


async def _fire_all(result: ScenarioResult, advance: Advance) -> None:
    """Fire one fault after the other until the time is over, or each had its rounds."""
    loop, env = asyncio.get_running_loop(), result.environment
    scenario = env.scenario
    await env.until_ready()
    await wait_until(lambda: _has_final(env), _FIRST_FINAL_S)
    shown_s, end_s = loop.time(), loop.time() + scenario.seconds
    for fault in _schedule(scenario):
        if loop.time() >= end_s:
            return
        advance(loop.time() - shown_s, f"{len(result.fired)} faults, now {fault.name}")
        shown_s, result.quiet_from_s = loop.time(), float("inf")
        result.fired.append(await _fire(env, fault, result.problems))
        result.quiet_from_s = loop.time() + _QUIET_S
        await asyncio.sleep(env.rng.uniform(*scenario.rest_s))
    if scenario.rounds is None:
        await asyncio.sleep(max(0.0, end_s - loop.time()))


def _has_final(env: ChaosEnvironment) -> bool:
    return any(isinstance(each.event, TranscriptFinal) for each in env.log.events)


def _schedule(scenario: ChaosScenario) -> Iterator[Fault]:
    """Yield all kinds in a random order, then all in another one."""
    rng = random.Random(f"{scenario.seed}/faults")
    kinds = [
        fault
        for fault in scenario.faults
        if fault.brokers <= scenario.brokers and fault.engine_process <= scenario.engine_process
    ]
    done = 0
    while kinds and done != scenario.rounds:
        yield from rng.sample(kinds, len(kinds))
        done += 1


async def _fire(env: ChaosEnvironment, fault: Fault, problems: list[str]) -> FiredFault:
    """Fire a fault, and return when all is whole again."""
    loop = asyncio.get_running_loop()
    begin_s, proof, problem = loop.time(), None, ""
    for slot in env.processes:
        slot.mark()
    try:
        proof = await fault.run(env)
    except _FAULT_ERRORS as error:
        problem = str(error) or type(error).__name__
    try:
        await env.heal()
    except DevstackError as error:
        problems.append(f"after {fault.name}: {error}")
    return FiredFault(fault.name, begin_s, loop.time(), proof, problem)


async def drained(env: ChaosEnvironment) -> dict[int, PartitionProgress]:
    """Return the progress once nothing is left to do, or the time for that is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + env.scenario.drain_s
    while True:
        progress = await env.progress()
        if all(each.is_drained for each in progress.values()) or loop.time() > deadline:
            return progress
        await asyncio.sleep(_POLL_S)


def _evidence(
    env: ChaosEnvironment, reread: Sequence[LoggedEvent], progress: dict[int, PartitionProgress]
) -> RunEvidence:
    log, streams, script = env.log, env.publishers.streams, env.scenario.script()
    set_threads(1)  # the detector's products are too small to be shared
    logs = stream_logs(streams, log.records, log.events, env.deleted)
    published = (
        (number, script.samples(each.stream), each.stretches())
        for number, each in logs.items()
        if each.sound
    )
    return RunEvidence(
        streams=streams,
        records=log.records,
        events=log.events,
        reread=reread,
        dead_letters=log.dead_letters,
        deleted=env.deleted,
        progress=progress,
        speech=speech_spans(cascade.load(Detector.CASCADE), published),
        texts_name_samples=not env.scenario.model,
    )


async def _time_commits(result: ScenarioResult) -> None:
    """Collect the commit times of the workers' metrics outside of faults, until cancelled."""
    loop, last = asyncio.get_running_loop(), dict[str, dict[float, float]]()
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        while True:
            await asyncio.sleep(_SCRAPE_S)
            scraped_s = loop.time()
            urls = [slot.url for slot in result.environment.slots if slot.url is not None]
            pages = await asyncio.gather(*(scraped(session, url) for url in urls))
            for url, page in zip(urls, pages, strict=True):
                now = _buckets(page)
                if result.quiet_from_s < scraped_s and url in last:
                    result.commits.add(now, last[url])
                last[url] = now or last.get(url, {})


def _buckets(page: Sequence[Sample]) -> dict[float, float]:
    """Return cumulative counts of commits by upper bound."""
    counts: Counter[float] = Counter()
    for sample in page:
        if sample.name == _COMMITS:
            counts[float(sample.labels["le"])] += int(sample.value)
    return dict(counts)
