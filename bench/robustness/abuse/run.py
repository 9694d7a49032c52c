"""Hostile records among right streams: do they harm any stream that keeps the rules?

Two runs over a real broker with real workers and real speech, the second with hostile records in
between, evenly, from when all right streams have begun. Limits are set low, so that the flood
meets them. The engine is the oracle of `bench chaos`: each text names the samples it is of.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from bench.framework import Advance, BenchContext, Findings, add_data, add_numbers, machine
from bench.robustness.abuse.comparison import AbuseRun, abuse_checks, abuse_figures, misjudged
from bench.robustness.abuse.hostile_records import hostile_records
from bench.robustness.chaos.environment import ChaosEnvironment, ChaosScenario, environment
from bench.robustness.chaos.publishers import Publishers
from bench.robustness.chaos.scenario_run import drained
from bench.robustness.chaos.test_streams import CHUNK_SAMPLES, Closing, OrderHeaders, TestStream
from transport.arguments import positive

_BEGIN_S: Final = 5.0  # within which the streams begin
_CATCH_UP_S: Final = 5.0  # for readers, once all is committed
_RECORDS_A_ROUND: Final = 20_000  # hostile records while each right id publishes one stream
_STREAM_S: Final = 35.0  # average length
_SHOWN: Final = 12
_LIMITS: Final = {"stall_s": "20", "new_streams_per_s": "0.5"}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    add_numbers(
        parser,
        ("records", positive, 100_000, "hostile ones"),
        ("streams", positive, 20, "right ids that are published at a time"),
        ("workers", positive, 2, ""),
        ("seed", positive, 1, ""),
    )


def run(context: BenchContext) -> Findings:
    """Compare a run without hostile records and one with them."""
    args = context.arguments
    folder = Path(tempfile.mkdtemp(prefix=f"streamscribe-abuse-{args.seed}-"))
    for name in ("clean", "abused"):
        (folder / name).mkdir()
    with context.progress(2 + args.records / 1000) as advance:
        clean = asyncio.run(_perform(args, 0, folder / "clean", advance))
        abused = asyncio.run(_perform(args, args.records, folder / "abused", advance))
    checks = list(abuse_checks(clean, abused))
    notes = list(islice(misjudged(abused), _SHOWN))
    if all(check.ok for check in checks):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        notes.append(f"logs are kept in {folder}")
    return Findings(abuse_figures(clean, abused), checks, machine("int1", 1), notes=notes)


async def _perform(
    args: argparse.Namespace, hostile: int, folder: Path, advance: Advance
) -> AbuseRun:
    """Publish right streams for as long as all hostile records take, and some of the latter."""
    rounds = 1 + args.records // _RECORDS_A_ROUND
    streams = [_streams(index, rounds) for index in range(args.streams)]
    async with environment(_scenario(args), folder) as env:
        await env.until_ready()
        began_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for of_id in streams:
                group.create_task(_publish(env.publishers, of_id))
            pause_s = _STREAM_S * rounds / args.records
            group.create_task(_attack(env, hostile, pause_s, advance))
        await env.publishers.flush()
        advance(1, "draining")
        progress = await drained(env)
        await asyncio.sleep(_CATCH_UP_S)
        return AbuseRun(
            records=env.log.records,
            events=env.log.events,
            dead_letters=env.log.dead_letters,
            progress=progress,
            right_ids=frozenset(each.stream_id for of_id in streams for each in of_id),
            began_s=began_s,
            peak_mb=max(slot.peak_mb for slot in env.slots),
            restarts=sum(len(slot.exits) for slot in env.slots),
            failures=len(env.publishers.failures),
        )


def _scenario(args: argparse.Namespace) -> ChaosScenario:
    return ChaosScenario(
        data=args.data,
        seed=args.seed,
        streams=args.streams,
        workers=[f"W{number}" for number in range(1, args.workers + 1)],
        partitions=4,
        drain_s=300.0,
        name="abuse",
        settings=_LIMITS,
    )


def _streams(index: int, rounds: int) -> list[TestStream]:
    """Return the streams of one id; each but the last is ended by the next one's start."""
    return [
        TestStream(
            number=index * rounds + number + 1,
            stream_id=f"right-{index}",
            headers=OrderHeaders.SEQ_START,
            closing=Closing.END if number == rounds - 1 else Closing.RESTART,
            chunk=CHUNK_SAMPLES[index % len(CHUNK_SAMPLES)],
        )
        for number in range(rounds)
    ]


async def _attack(env: ChaosEnvironment, records: int, pause_s: float, advance: Advance) -> None:
    """Publish hostile records evenly over the time of the right streams."""
    loop, scenario = asyncio.get_running_loop(), env.scenario
    began_s = loop.time() + _BEGIN_S + 1
    hostile = hostile_records(scenario.script(), scenario.seed)
    for number, record in enumerate(islice(hostile, records)):
        await asyncio.sleep(began_s + number * pause_s - loop.time())
        await env.publishers.send(record)
        advance(0.001, "hostile records")


async def _publish(publishers: Publishers, streams: Sequence[TestStream]) -> None:
    """Publish one stream after the other, as they are spoken."""
    await asyncio.sleep(streams[0].number % 10 * _BEGIN_S / 10)
    for stream in streams:
        await publishers.publish(stream)
