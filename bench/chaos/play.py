"""One run from the first word to the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka.errors import KafkaError

from bench.chaos.arena import Arena, NotFired
from bench.chaos.check import Verdict, check
from bench.chaos.evidence import Evidence, Seen, Standing, said
from bench.chaos.faults import Fault
from bench.chaos.readers import read_all, seen
from bench.chaos.spoken import spoken
from bench.chaos.stage import Play, stage
from bench.chaos.standings import standings
from bench.chaos.watch import commit_times
from bench.progress import Advance
from consumer.detection import cascade
from consumer.errors import SttError
from consumer.inference.device import set_threads
from consumer.settings import Detector
from devstack.errors import DevstackError
from evaluation.percentiles import BucketCounts

_REST_S: Final = (5.0, 9.0)  # between two faults
_WARM_S: Final = 5.0
_HEAL_S: Final = 150.0
_CATCH_UP_S: Final = 60.0
_QUIET_S: Final = 2.0  # after a fault, before commit times count again
_POLL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Fired:
    """One fault, and by what it is known that it happened."""

    fault: Fault
    begin_s: float  # monotonic
    end_s: float  # when all was whole again
    proof: str | None  # None: there is none
    told: str = ""  # then: why


@dataclass(slots=True)
class Outcome:
    """All that came of a run."""

    evidence: Evidence
    verdict: Verdict
    fired: list[Fired]
    arena: Arena
    commits: BucketCounts
    unwell: list[str] = field(default_factory=list)  # of the bench or of workers that stay away


async def run(play: Play, folder: Path, advance: Advance) -> Outcome:
    commits, unwell = BucketCounts(), list[str]()
    async with stage(play, folder) as arena:
        fired = await _perform(play, arena, advance, commits, unwell)
        advance(0, "draining")
        stands = await drained(arena, play.drain_s)
        again: list[Seen] = []
        await read_all(
            arena.kafka.bootstrap,
            arena.topics.transcripts,
            lambda record, now: again.append(seen(record, now)),
        )
        await _caught_up(arena, again)
        unwell += arena.publishers.failures
    advance(0, "checking")
    evidence = await asyncio.to_thread(_evidence, play, arena, again, stands)
    return Outcome(evidence, check(evidence), fired, arena, commits, unwell)


async def _perform(
    play: Play, arena: Arena, advance: Advance, commits: BucketCounts, unwell: list[str]
) -> list[Fired]:
    """Publish, and let the faults happen."""
    loop = asyncio.get_running_loop()
    fired: list[Fired] = []
    during: list[Fault] = []

    def quiet() -> bool:
        return not during and (not fired or loop.time() > fired[-1].end_s + _QUIET_S)

    async with asyncio.TaskGroup() as group:
        group.create_task(arena.publishers.run(play.streams))
        watching = group.create_task(commit_times(arena.slots, quiet, commits))
        await begun(arena)
        await asyncio.sleep(_WARM_S)
        told_s, end_s = loop.time(), loop.time() + play.seconds
        for fault in _schedule(play):
            if loop.time() >= end_s:
                break
            advance(loop.time() - told_s, f"{len(fired)} faults, now {fault.name}")
            told_s = loop.time()
            during.append(fault)
            fired.append(await _fire(arena, fault, unwell))
            during.clear()
            await asyncio.sleep(arena.rng.uniform(*_REST_S))
        await asyncio.sleep(max(0.0, end_s - loop.time()))
        arena.publishers.stop()
        watching.cancel()
    return fired


async def begun(arena: Arena) -> None:
    """Raises DevstackError when the workers cannot even begin."""
    try:
        async with asyncio.timeout(_HEAL_S):
            await asyncio.gather(*(slot.ready() for slot in arena.slots))
    except TimeoutError as error:
        raise DevstackError(
            f"not all workers were ready after {_HEAL_S:.0f} s: see {arena.slots[0].log_file}"
        ) from error


def _schedule(play: Play) -> Iterator[Fault]:
    """All kinds in a random order, then all in another one, for ever."""
    rng = random.Random(f"{play.seed}/faults")
    kinds = [fault for fault in play.faults if fault.brokers <= play.brokers]
    while kinds:
        yield from rng.sample(kinds, len(kinds))


async def _fire(arena: Arena, fault: Fault, unwell: list[str]) -> Fired:
    loop = asyncio.get_running_loop()
    begin_s, proof, told = loop.time(), None, ""
    try:
        proof = await fault.run(arena)
    except (NotFired, OSError, KafkaError, SttError, DevstackError) as error:
        told = str(error) or type(error).__name__
    try:
        async with asyncio.timeout(_HEAL_S):
            await arena.heal()
    except TimeoutError:
        unwell.append(f"not all workers are back {_HEAL_S:.0f} s after {fault.name}")
    return Fired(fault, begin_s, loop.time(), proof, told)


async def drained(arena: Arena, within_s: float) -> dict[int, Standing]:
    """Once nothing is left to do, or it takes too long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        found = await standings(arena)
        done = all(s.next_offset == s.resume_offset == s.log_end for s in found.values())
        if done or loop.time() > deadline:
            return found
        await asyncio.sleep(_POLL_S)


async def _caught_up(arena: Arena, again: Sequence[Seen]) -> None:
    """The readers that ran all along may be a moment behind."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CATCH_UP_S):
            while len(arena.book.seen) < len(again):  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(_POLL_S)


def _evidence(
    play: Play, arena: Arena, again: Sequence[Seen], stands: dict[int, Standing]
) -> Evidence:
    book, plans, script = arena.book, arena.publishers.plans, play.script()
    set_threads(1)  # what it does is too small to be shared
    scorer = cascade.load(Detector.CASCADE)
    deleted = arena.deleted
    takes = said(plans, book.sent, book.seen, deleted)
    speech = spoken(
        scorer,
        (
            (number, script.sound(take.plan), take.stretches())
            for number, take in takes.items()
            if take.sound
        ),
    )
    return Evidence(
        plans=plans,
        sent=book.sent,
        seen=book.seen,
        again=again,
        dead=book.dead,
        deleted=deleted,
        standings=stands,
        spoken=speech,
        names_samples=play.names_samples,
    )
