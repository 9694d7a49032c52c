"""Parsers that fail on anything but `VALID`, each in its own way, for the fuzzer to find."""

from __future__ import annotations

import os
import sys

from bench.robustness.fuzz.fuzz_process import main
from bench.robustness.fuzz.targets import TARGETS, Target

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


def crashing(break_: object) -> Target:
    return Target(lambda: [VALID], lambda data: None if data == VALID else break_())


if __name__ == "__main__":
    TARGETS |= {each.__name__: crashing(each) for each in (crash, hang, allocate, swell, fail)}
    main(sys.argv[1:])
