"""`streamscribe broker`: run a real Kafka with the topics in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from consumer.errors import SttError
from devstack.errors import DevstackError
from devstack.kafka import NODE_COUNTS, LocalKafka
from devstack.kafka_jars import KAFKA_VERSION, class_path
from transport.arguments import add_partitions, add_prefix
from transport.cluster import create_topics
from transport.console import silence_client_log
from transport.errors import TransportError

_PARTITIONS = 4  # enough for one machine, where a cluster has 64
_POLL_S = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    silence_client_log()
    try:
        class_path()  # downloads outside the event loop, where Ctrl-C interrupts it
        asyncio.run(_serve(args))
    except asyncio.CancelledError:
        return 0  # SIGTERM
    except (SttError, TransportError) as error:
        print(f"streamscribe broker: {error}", file=sys.stderr)
    return 1


async def _serve(args: argparse.Namespace) -> None:
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with LocalKafka(args.nodes, port=args.port, data=args.data) as kafka:
        if not args.no_topics:
            await _create_topics(kafka, args)
        print(f"Kafka {KAFKA_VERSION} is ready, Ctrl-C stops it:", file=sys.stderr)
        print(kafka.bootstrap, flush=True)
        await _watch(kafka)


async def _create_topics(kafka: LocalKafka, args: argparse.Namespace) -> None:
    await create_topics(
        kafka.bootstrap,
        args.topics,
        partitions=args.partitions,
        default_partitions=_PARTITIONS,
    )


async def _watch(kafka: LocalKafka) -> NoReturn:
    """Raise DevstackError when a node ends."""
    while not (codes := kafka.exit_codes()):  # noqa: ASYNC110 - a Popen has no event to wait on
        await asyncio.sleep(_POLL_S)
    raise DevstackError(
        "; ".join(
            f"node {n} ended with {code}: see {kafka.log_file(n)}" for n, code in codes.items()
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamscribe broker",
        description="Run a real Kafka on this machine, without Docker, and create the topics. "
        "Standard output is its address, one line.",
        epilog="Exit codes: 130 after Ctrl-C, 0 after SIGTERM, 1 if a node cannot start or ends.",
    )
    parser.add_argument("--nodes", type=int, choices=NODE_COUNTS, default=1, help="(default: 1)")
    parser.add_argument(
        "--port",
        type=int,
        default=9092,
        help="port of node 1, others have the next ones; 0: any free ports (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        type=Path,
        help="data folder, kept for the next run (default: a temporary one)",
    )
    add_prefix(parser)
    add_partitions(parser, otherwise=f", else {_PARTITIONS}")
    parser.add_argument("--no-topics", action="store_true", help="create no topics")
    return parser
