"""The errors of the service, named by what the caller must do.

    SttError
      Retriable      back off, then do the same work again
        OutOfMemory    ... in smaller batches
      Fenced         another worker owns the partition: drop it, rejoin the group
      DeviceLost     exit; only a new process gets a working device
      ConfigError    exit with code 2 before connecting, and report all problems together

A record that no retry makes readable raises `schemas.errors.WireError`: it is dead-lettered, and
the next one is read. Exceptions of libraries are translated in kafka/errors.py and
inference/device.py only, so that their callers do not depend on the libraries.
"""

# ruff: noqa: N818 -- named by what to do, as in `except Fenced`

from __future__ import annotations

import traceback
from collections.abc import Iterable


def where_raised(error: BaseException) -> str:
    """Return the traceback without the message, which may quote a publisher."""
    return "".join(traceback.format_tb(error.__traceback__))


class SttError(Exception):
    """The base of all errors that the service handles."""


class Retriable(SttError):
    """A temporary failure: the same work may succeed later."""


class OutOfMemory(Retriable):
    """The work did not fit into the device's memory; smaller batches may."""


class Fenced(SttError):
    """Another worker owns the partition now; this one must not publish anything more of it."""


class DeviceLost(SttError):
    """The context of the device is broken until the process exits."""


class ConfigError(SttError):
    """The configuration is invalid. Each of `problems` states what to change."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)
