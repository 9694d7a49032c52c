"""`streamscribe topics create|check`: create the topics of a cluster, or check their settings."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from transport.arguments import add_kafka, add_partitions, positive, security
from transport.cluster import DEFAULT_PARTITIONS, check_topics, create_topics
from transport.console import silence_client_log
from transport.errors import TransportError
from transport.security import Security


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    silence_client_log()
    try:
        return asyncio.run(_run(args, security(parser)))
    except TransportError as error:
        print(f"streamscribe topics: {error}", file=sys.stderr)
        return 1


async def _run(args: argparse.Namespace, security: Security) -> int:
    if args.action == "create":
        await _create(args, security)
    problems = await check_topics(
        args.bootstrap, args.topics, partitions=args.partitions, security=security
    )
    print("\n".join(problems) or f"all topics are correct: {', '.join(args.topics)}")
    return 1 if problems else 0


async def _create(args: argparse.Namespace, security: Security) -> None:
    created = await create_topics(
        args.bootstrap,
        args.topics,
        partitions=args.partitions,
        replication_factor=args.replication_factor,
        security=security,
    )
    for name in created:
        print(f"created {name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamscribe topics",
        description="Create the topics with the settings they need, or check them.",
        epilog="Exit codes: 0 all are correct; 1 some are not, or Kafka does not answer; 2 usage.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="create|check")
    create = actions.add_parser("create", help="create the missing topics, then check")
    check = actions.add_parser("check", help="one line per problem, with the command that fixes it")
    for action in (create, check):
        add_kafka(action)
    add_partitions(create, otherwise=f", else {DEFAULT_PARTITIONS}")
    add_partitions(check, otherwise="")
    create.add_argument(
        "--replication-factor",
        metavar="N",
        type=positive,
        help="replicas of every topic (default: the number of brokers, at most 3)",
    )
    return parser
