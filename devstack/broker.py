"""`streamscribe broker`: a real Kafka in the foreground, with the topics, until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from consumer.errors import SttError
from devstack.errors import DevstackError
from devstack.kafka import NODE_COUNTS, LocalKafka
from devstack.kafka_jars import KAFKA_VERSION, class_path
from transport.arguments import add_partitions, add_prefix
from transport.cluster import create_topics
from transport.errors import TransportError

_PARTITIONS = 4  # a machine for trying things, not the 64 of a cluster
_POLL_S = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters becomes our one line
    try:
        class_path()  # fetched outside the event loop, where Ctrl-C ends a download
        asyncio.run(_serve(args))
    except asyncio.CancelledError:
        return 0  # SIGTERM
    except (SttError, TransportError) as error:
        print(f"streamscribe broker: {error}", file=sys.stderr)
    return 1


async def _serve(args: argparse.Namespace) -> None:
    serving = asyncio.current_task()
    assert serving
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    async with LocalKafka(args.nodes, port=args.port, data=args.data) as kafka:
        if not args.no_topics:
            await _create_topics(kafka, args)
        print(f"Kafka {KAFKA_VERSION} answers, Ctrl-C stops it:", file=sys.stderr)
        print(kafka.bootstrap, flush=True)
        await _until_one_ends(kafka)


async def _create_topics(kafka: LocalKafka, args: argparse.Namespace) -> None:
    await create_topics(
        kafka.bootstrap,
        args.topics,
        partitions=args.partitions,
        default_partitions=_PARTITIONS,
    )


async def _until_one_ends(kafka: LocalKafka) -> None:
    while not (codes := kafka.exit_codes()):  # noqa: ASYNC110 - a Popen has no event to wait on
        await asyncio.sleep(_POLL_S)
    told = (f"node {n} ended with {code}, see {kafka.log_file(n)}" for n, code in codes.items())
    raise DevstackError("; ".join(told))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamscribe broker",
        description="Run a real Kafka on this machine, without Docker, and create the topics. "
        "Its address is the one line on standard output.",
        epilog="Exit codes: 130 after Ctrl-C, 0 after SIGTERM, 1 when it cannot start or ends.",
    )
    parser.add_argument("--nodes", type=int, choices=NODE_COUNTS, default=1, help="(default: 1)")
    parser.add_argument(
        "--port",
        type=int,
        default=9092,
        help="of node 1, the others take the next ones; 0: any free ones (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        type=Path,
        help="kept, and used again the next time (default: a temporary one)",
    )
    add_prefix(parser)
    add_partitions(parser, otherwise=f", else {_PARTITIONS}")
    parser.add_argument("--no-topics", action="store_true", help="leave the topics to you")
    return parser
