"""`streamscribe state show|reset`: show the progress of each partition, or reset a halted one."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from admin.state_admin import PartitionStatus, StateAdmin
from consumer.core.streams.records import Partition
from consumer.errors import SttError
from transport.arguments import add_group, add_kafka, security
from transport.console import silence_client_log
from transport.credentials import Credentials
from transport.diagnosis import verify_access
from transport.errors import TransportError

ROW: Final = "{:32}{:>5}{:>12}{:>12}{:>12}{:>12}{:>9}  {}"
HEAD: Final = ("topic", "part", "log start", "resume R", "next N", "log end", "streams", "state")


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    args.security = security(parser)
    silence_client_log()
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
    statuses = await admin.list_partitions()
    print(ROW.format(*HEAD))
    for status in statuses:
        print(ROW.format(*_cells(status)).rstrip())
    halted = [status for status in statuses if status.problem]
    for status in halted:
        print(f"{status.partition.topic} {status.partition.number}: {status.problem}")
    return 1 if halted else 0


def _cells(status: PartitionStatus) -> tuple[object, ...]:
    topic, number = status.partition
    found = status.found
    if found is None:
        return topic, number, "", "", "", "", "", "unreadable"
    state = found.partition
    if state is None:
        summary = "halts" if status.problem else "not read yet"
        return topic, number, found.log_start, "", "", found.log_end, "", summary
    streams = sum(stream.session is not None for stream in found.streams.values())
    summary = (
        "halts" if status.problem else "closed cleanly" if state.clean else "served or crashed"
    )
    offsets = found.log_start, state.resume_offset, state.next_offset, found.log_end
    return topic, number, *offsets, streams, summary


async def _reset(admin: StateAdmin, args: argparse.Namespace) -> int:
    """Reset one partition or all; nothing is done unless `--to` fits every one of them."""
    topic = admin.topics.audio_bulk if args.bulk else admin.topics.audio
    numbers = await admin.partition_numbers(topic) if args.all else [args.partition]
    targets = {}
    for partition in (Partition(topic, number) for number in numbers):
        begin, end = await admin.offset_range(partition)
        offset = _offset(args.to, begin, end)
        if offset is None:
            problem = f"--to must be an offset from {begin} to {end}, earliest or latest"
            print(f"streamscribe state: {problem}", file=sys.stderr)
            return 2
        targets[partition] = offset
        if not args.yes:
            where = f"{topic} {partition.number} at offset {offset} (of {begin} to {end})"
            print(f"would resume {where} and drop its open streams")
    if not args.yes:
        print("Speech may be lost or repeated. Add --yes to do it.")
    for partition, offset in targets.items() if args.yes else ():
        await admin.reset(partition, offset)
        print(f"{topic} {partition.number} resumes at offset {offset}")
    return 0


def _offset(text: str, begin: int, end: int) -> int | None:
    """Return the offset that `text` names, or None if it is not in the log."""
    match text:
        case "earliest":
            return begin
        case "latest":
            return end
        case _ if text.isdecimal() and begin <= int(text) <= end:
            return int(text)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamscribe state",
        description="Show the committed progress of a group's workers on every partition, or set "
        "halted partitions to an offset.",
        epilog="Exit codes: 0 done; 1 a partition is halted, or Kafka does not answer; 2 usage.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|reset")
    show = actions.add_parser("show", help="one line per partition, and why it would halt")
    reset = actions.add_parser("reset", help="resume at an offset without any open stream")
    for action in (show, reset):
        add_group(action)
        add_kafka(action)
    which = reset.add_mutually_exclusive_group(required=True)
    which.add_argument("--partition", type=int, metavar="N", help="its number")
    which.add_argument("--all", action="store_true", help="every partition of the topic")
    reset.add_argument("--bulk", action="store_true", help="of the bulk topic, not the live one")
    reset.add_argument("--to", required=True, metavar="X", help="an offset, earliest or latest")
    reset.add_argument("--yes", action="store_true", help="do it; without, print what it would do")
    return parser
