"""What command lines of every side share: values that say what is wrong, and Kafka's security."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TypeVar

from schemas.security import Security, SecurityError, security_from

Parsed = TypeVar("Parsed")


def usage(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """What is wrong with a value, in its own words: argparse would say only that it is."""

    def parsed(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def security(parser: argparse.ArgumentParser) -> Security:
    """As the environment says; what cannot hold is a usage error."""
    try:
        return security_from(os.environ)
    except SecurityError as error:
        parser.error("; ".join(error.problems))
