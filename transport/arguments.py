"""Command-line arguments of several commands. Defaults come from the environment."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

from schemas.topics import Topics
from transport.bootstrap import parse_bootstrap
from transport.security import Security, SecurityError, security_from
from transport.start import Start, parse_start

Parsed = TypeVar("Parsed")
BOOTSTRAP: Final = "localhost:9092"


def argument_type(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """Return a parser that raises `ValueError` as one that argparse accepts as a `type`.

    argparse replaces the message of a `ValueError`, but prints that of an `ArgumentTypeError`.
    """

    def parsed(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


@argument_type
def start(text: str) -> Start:
    return parse_start(text, time.time_ns() // 1_000_000)


@argument_type
def topics(prefix: str) -> Topics:
    return Topics(prefix)


@argument_type
def bootstrap(text: str) -> str:
    return parse_bootstrap(text)


@argument_type
def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{text!r} is not a whole number above 0")
    return int(text)


def add_kafka(parser: argparse._ActionsContainer) -> None:
    """Add --bootstrap and --prefix, which every command that reaches Kafka has."""
    parser.add_argument(
        "--bootstrap",
        type=bootstrap,
        default=os.environ.get("STREAMSCRIBE_BOOTSTRAP", BOOTSTRAP),
        metavar="HOST:PORT,...",
        help=f"the Kafka brokers (default: $STREAMSCRIBE_BOOTSTRAP, else {BOOTSTRAP})",
    )
    add_prefix(parser)


def add_prefix(parser: argparse._ActionsContainer) -> None:
    prefix = Topics().prefix
    parser.add_argument(
        "--prefix",
        dest="topics",
        type=topics,
        default=os.environ.get("STREAMSCRIBE_PREFIX", prefix),
        metavar="NAME",
        help=f"prefix of the topic names (default: $STREAMSCRIBE_PREFIX, else {prefix})",
    )


def add_group(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--group",
        default=os.environ.get("STREAMSCRIBE_GROUP", "streamscribe"),
        metavar="NAME",
        help="the workers' consumer group (default: $STREAMSCRIBE_GROUP, else streamscribe)",
    )


def add_partitions(parser: argparse._ActionsContainer, otherwise: str) -> None:
    """Add --partitions; `otherwise`: a phrase for the default where no topic exists."""
    parser.add_argument(
        "--partitions",
        metavar="N",
        type=positive,
        help="partitions of every topic: the maximum number of workers (default: the count of the "
        f"existing topics{otherwise})",
    )


def security(parser: argparse.ArgumentParser) -> Security:
    """Return the security settings of the environment; exit with a usage error if invalid."""
    try:
        return security_from(os.environ)
    except SecurityError as error:
        parser.error("; ".join(error.problems))
