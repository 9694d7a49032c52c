"""Options that the commands of devstack share; each default may stand in the environment."""

from __future__ import annotations

import argparse
import os

from schemas.topics import Topics


def add_bootstrap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bootstrap",
        metavar="HOST:PORT,...",
        default=os.environ.get("STREAMSCRIBE_BOOTSTRAP", "localhost:9092"),
        help="where Kafka answers (default: $STREAMSCRIBE_BOOTSTRAP, else localhost:9092)",
    )


def add_prefix(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prefix",
        dest="topics",
        metavar="NAME",
        type=_topics,
        default=os.environ.get("STREAMSCRIBE_PREFIX", "speech"),
        help="what the topics' names begin with (default: $STREAMSCRIBE_PREFIX, else speech)",
    )


def add_partitions(parser: argparse.ArgumentParser, otherwise: str) -> None:
    parser.add_argument(
        "--partitions",
        metavar="N",
        type=positive,
        help="of every topic, the most workers there can be (default: those of the topics that "
        f"exist{otherwise})",
    )


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _topics(prefix: str) -> Topics:
    try:
        return Topics(prefix)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
