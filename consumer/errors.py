"""The tree of errors, named by what the caller must do.

    SttError
      Retriable      back off, then do the same work again
        OutOfMemory    ... in smaller batches
      Fenced         another worker owns the partition: drop it, rejoin the group
      DeviceLost     leave the process; only a new one gets a working device
      ConfigError    exit 2 before connecting, all problems told at once

A record that no retry makes readable raises `schemas.errors.WireError`: it is dead-lettered, and
the next one is read. Exceptions of foreign libraries are translated in kafka/errors.py and
inference/device.py, nowhere else, so that nobody above them has to know a library to choose what
to do.
"""

# ruff: noqa: N818 -- named by what to do (`except Fenced`), as the design's tree is

from __future__ import annotations

from collections.abc import Iterable


class SttError(Exception):
    """Base of all errors that the service knows how to answer."""


class Retriable(SttError):
    """A passing failure: the same work may succeed later."""


class OutOfMemory(Retriable):
    """The work did not fit into the device's memory; smaller batches may."""


class Fenced(SttError):
    """A newer owner of the partition exists; nothing of this one may become visible."""


class DeviceLost(SttError):
    """The device's context is broken and stays so until the process ends."""


class ConfigError(SttError):
    """What was asked for cannot be done. `problems` are whole sentences that say what to change."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)
