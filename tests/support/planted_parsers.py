"""Parsers that break on anything but what is valid, each in its own way: what fuzzing must find."""

from __future__ import annotations

import os
import sys

from bench.fuzz.child import run
from bench.fuzz.targets import TARGETS, Target

VALID = b"valid"
held: list[bytes] = []


def crash() -> None:
    os.abort()


def hang() -> None:
    while True:
        pass


def allocate() -> None:
    held.append(bytes(1 << 40))


def swell() -> None:
    held.append(b"\1" * (300 << 20))


def fail() -> None:
    raise KeyError("no such thing")


def planted(break_: object) -> Target:
    return Target(lambda: [VALID], lambda data: None if data == VALID else break_())


if __name__ == "__main__":
    TARGETS |= {each.__name__: planted(each) for each in (crash, hang, allocate, swell, fail)}
    run(sys.argv[1:])
