"""What the command lines of this side share."""

from __future__ import annotations

import argparse
import os
import re
import time
from typing import Final

from schemas.topics import Topics
from subscriber.start import Start, parse_start
from transport.arguments import usage

_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(:\d{1,5})?")


@usage
def start(text: str) -> Start:
    return parse_start(text, time.time_ns() // 1_000_000)


@usage
def topics(prefix: str) -> Topics:
    return Topics(prefix)


@usage
def servers(text: str) -> str:
    """Kafka's own form: host:port with commas between; without a port 9092."""
    if not all(map(_SERVER.fullmatch, text.split(","))):
        raise ValueError(f"{text!r} is not HOST:PORT, or several with commas between")
    return text


def add_kafka(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bootstrap",
        type=servers,
        default=os.environ.get("STREAMSCRIBE_BOOTSTRAP", "localhost:9092"),
        metavar="HOST:PORT",
        help="Kafka (default: $STREAMSCRIBE_BOOTSTRAP, else localhost:9092)",
    )
    parser.add_argument(
        "--prefix",
        dest="topics",
        type=topics,
        default=os.environ.get("STREAMSCRIBE_PREFIX", Topics().prefix),
        metavar="NAME",
        help=f"of the topics (default: $STREAMSCRIBE_PREFIX, else {Topics().prefix})",
    )
