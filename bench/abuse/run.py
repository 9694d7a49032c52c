"""Hostile records among right streams: does anybody who does right notice?

Two runs over a real broker with real workers and real speech, the second with the hostile records
of `bench.abuse.hostile` in between, evenly, from when all right streams have begun. Caps are set
low, so that the flood meets them. The engine is the oracle of `bench chaos`: a final is of exactly
the samples that its text names. Batches that nobody can read are thrown by `bench chaos`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import options
from bench.abuse.account import Run, checks, figures, misjudged
from bench.abuse.hostile import hostile
from bench.chaos.arena import Arena
from bench.chaos.play import begun, drained
from bench.chaos.publish import Publishers
from bench.chaos.recital import recital
from bench.chaos.run import first
from bench.chaos.stage import Play, stage
from bench.chaos.takes import CHUNKS, Closing, Plan, Style
from bench.machine import machine
from bench.progress import Advance, progress
from devstack.errors import DevstackError
from evaluation.report import publish
from transport.arguments import positive

_BEGIN_S: Final = 5.0  # within which the streams begin
_CATCH_UP_S: Final = 5.0  # for readers, once all is committed
_DRAIN_S: Final = 300.0
_PER_TAKE: Final = 20_000  # hostile records that one take of every stream goes with
_RUN_S: Final = 35.0  # a take's length on average
_SHOWN: Final = 12
_SETTINGS: Final = {"stall_s": "20", "new_streams_per_s": "0.5"}


def main(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    console, play = Console(), _play(asked)
    folder = Path(tempfile.mkdtemp(prefix=f"streamscribe-abuse-{play.seed}-"))
    folders = [folder / name for name in ("clean", "abused")]
    for each in folders:
        each.mkdir()
    try:
        with progress(console, 2 + asked.records / 1000) as advance:
            clean, abused = (
                asyncio.run(perform(play, each, records, asked.records, advance))
                for each, records in zip(folders, (0, asked.records), strict=True)
            )
    except* DevstackError as failed:
        told = first(failed)
        console.print(f"bench: {told}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    for line in islice(misjudged(abused), _SHOWN):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    found = list(checks(clean, abused))
    publish(console, asked.json, machine("int1", 1), figures(clean, abused), found)
    if all(check.ok for check in found):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        console.print(f"logs are kept in {folder}", highlight=False)
    return 0


async def perform(play: Play, folder: Path, records: int, most: int, advance: Advance) -> Run:
    """Right streams, as long as `most` hostile records take, and `records` of those."""
    async with stage(play, folder) as arena:
        await begun(arena)
        began_s = asyncio.get_running_loop().time()
        plans = {index: list(_plans(index, most)) for index in range(play.streams)}
        async with asyncio.TaskGroup() as group:
            for of_stream in plans.values():
                group.create_task(_recite(play, arena.publishers, of_stream))
            group.create_task(_attack(play, arena.publishers, records, most, advance))
        await arena.publishers.flush()
        advance(1, "draining")
        stands = await drained(arena, _DRAIN_S)
        await asyncio.sleep(_CATCH_UP_S)
        return Run(
            sent=arena.book.sent,
            seen=arena.book.seen,
            dead=arena.book.dead,
            standings=stands,
            valid=frozenset(plan.stream_id for each in plans.values() for plan in each),
            began_s=began_s,
            peak_mb=await _peak_mb(arena),
            restarts=sum(len(slot.exits) for slot in arena.slots),
            failures=len(arena.publishers.failures),
        )


def _plans(index: int, most: int) -> Iterator[Plan]:
    """Takes of one stream: each but the last is ended by the next one's first number."""
    takes = 1 + most // _PER_TAKE
    for number in range(takes):
        yield Plan(
            number=index * takes + number + 1,
            stream_id=f"right-{index}",
            style=Style.SEQ_START,
            closing=Closing.END if number == takes - 1 else Closing.RESTART,
            channels=1,
            chunk=CHUNKS[index % len(CHUNKS)],
            mischief=0.0,
        )


async def _recite(play: Play, publishers: Publishers, plans: Sequence[Plan]) -> None:
    """One take after the other, at the pace of speech."""
    loop, script = asyncio.get_running_loop(), play.script()
    await asyncio.sleep(plans[0].number % 10 * _BEGIN_S / 10)
    for plan in plans:
        began = loop.time()
        for item in recital(script, plan, lambda: False):
            await asyncio.sleep(began + item.at_s - loop.time())
            await publishers.send(*item.record)


async def _attack(
    play: Play, publishers: Publishers, records: int, most: int, advance: Advance
) -> None:
    """Evenly over the time that the right streams take."""
    loop = asyncio.get_running_loop()
    pause_s = _RUN_S * (1 + most // _PER_TAKE) / most
    began = loop.time() + _BEGIN_S + 1
    for number, record in enumerate(islice(hostile(play.script(), play.seed), records)):
        await asyncio.sleep(began + number * pause_s - loop.time())
        await publishers.send(record.key, record.value, record.headers)
        advance(0.001, "hostile records")


async def _peak_mb(arena: Arena) -> float:
    return max([float(await slot.order("memory")) for slot in arena.slots])


def _play(asked: argparse.Namespace) -> Play:
    return Play(
        brokers=1,
        workers=asked.workers,
        streams=asked.streams,
        partitions=4,
        seconds=0.0,
        faults=(),
        seed=asked.seed,
        data=asked.data,
        drain_s=_DRAIN_S,
        worker=("--engine", "oracle"),
        settings=_SETTINGS,
    )


def _parser() -> argparse.ArgumentParser:
    parser = options.parser("abuse", __doc__)
    options.add_data(parser)
    numbers = {"records": 100_000, "streams": 20, "workers": 2, "seed": 1}
    for name, default in numbers.items():
        parser.add_argument(
            f"--{name}", type=positive, default=default, metavar="N", help=f"(default: {default})"
        )
    return parser
