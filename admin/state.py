"""`streamscribe state show|reset`: how far each partition has come, and the way out of a halt."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from typing import Final

from admin.state_admin import PartitionStatus, StateAdmin
from consumer.core.streams.records import Partition
from consumer.errors import SttError
from transport.arguments import add_group, add_kafka, security
from transport.credentials import Credentials
from transport.diagnosis import verify_access
from transport.errors import TransportError

ROW: Final = "{:32}{:>5}{:>12}{:>12}{:>12}{:>12}{:>9}  {}"
HEAD: Final = ("topic", "part", "log start", "resume R", "next N", "log end", "streams", "state")


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    args.security = security(parser)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters becomes our one line
    try:
        return asyncio.run(_run(args))
    except (SttError, TransportError) as error:
        print(f"streamscribe state: {error}", file=sys.stderr)
        return 1


async def _run(args: argparse.Namespace) -> int:
    await verify_access(args.bootstrap, args.security)
    admin = StateAdmin(args.bootstrap, Credentials(args.security), args.topics, args.group)
    return await (_show(admin) if args.action == "show" else _reset(admin, args))


async def _show(admin: StateAdmin) -> int:
    standings = await admin.list_partitions()
    print(ROW.format(*HEAD))
    for standing in standings:
        print(ROW.format(*_cells(standing)).rstrip())
    halted = [standing for standing in standings if standing.problem]
    for standing in halted:
        print(f"{standing.partition.topic} {standing.partition.number}: {standing.problem}")
    return 1 if halted else 0


def _cells(standing: PartitionStatus) -> tuple[object, ...]:
    topic, number = standing.partition
    found = standing.found
    if found is None:
        return topic, number, "", "", "", "", "", "unreadable"
    state = found.partition
    if state is None:
        told = "halts" if standing.problem else "not read yet"
        return topic, number, found.log_start, "", "", found.log_end, "", told
    streams = sum(stream.session is not None for stream in found.streams.values())
    told = "halts" if standing.problem else "left in order" if state.clean else "served or crashed"
    offsets = found.log_start, state.resume_offset, state.next_offset, found.log_end
    return topic, number, *offsets, streams, told


async def _reset(admin: StateAdmin, args: argparse.Namespace) -> int:
    topic = admin.topics.audio_bulk if args.bulk else admin.topics.audio
    partition = Partition(topic, args.partition)
    begin, end = await admin.offset_range(partition)
    offset = _offset(args.to, begin, end)
    if offset is None:
        problem = f"--to must be {begin} to {end}, earliest or latest"
        print(f"streamscribe state: {problem}", file=sys.stderr)
        return 2
    if not args.yes:
        print(
            f"would read {topic} {partition.number} on from offset {offset} (of {begin} to {end}) "
            "and forget its open streams: speech may be lost or repeated. Add --yes to do it."
        )
        return 0
    await admin.reset(partition, offset)
    print(f"{topic} {partition.number} goes on from offset {offset}")
    return 0


def _offset(told: str, begin: int, end: int) -> int | None:
    """None: not an offset that Kafka has."""
    match told:
        case "earliest":
            return begin
        case "latest":
            return end
        case _ if told.isdecimal() and begin <= int(told) <= end:
            return int(told)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamscribe state",
        description="Show what the workers of a group have written down of every partition, or "
        "set one partition to an offset when it is halted.",
        epilog="Exit codes: 0 done; 1 a partition is halted, or Kafka does not answer; 2 usage.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|reset")
    show = actions.add_parser("show", help="one line a partition; why it would halt, if it would")
    reset = actions.add_parser("reset", help="go on from an offset as if nothing had been open")
    for action in (show, reset):
        add_group(action)
        add_kafka(action)
    reset.add_argument("--partition", type=int, required=True, metavar="N", help="which one")
    reset.add_argument("--bulk", action="store_true", help="of the bulk topic, not the live one")
    reset.add_argument("--to", required=True, metavar="X", help="an offset, earliest or latest")
    reset.add_argument("--yes", action="store_true", help="do it; without, say what would be done")
    return parser
