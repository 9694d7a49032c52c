"""Exact points of a commit at which a worker may be told to die, and where it lives on.

Only aiokafka is wrapped, and only in the bench's own worker: the product knows nothing of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.producer.sender import EndTxnHandler
from aiokafka.protocol.transaction import EndTxnRequest

from transport.compat import group_of


class Point(StrEnum):
    BEFORE_BEGIN = "before-begin"
    SENDS_DONE = "sends-done"
    END_SENT = "end-sent"  # EndTxn is on its way
    END_ANSWERED = "end-answered"  # the broker has said yes, nobody here knows yet
    RESTORING = "restoring"  # a reader without a group: the state topic is being read


class Trap:
    """Kills this process at the armed point, once."""

    def __init__(self) -> None:
        self.armed: Point | None = None
        self._is_held_open = False

    def __call__(self, point: Point) -> None:
        if point is self.armed and not self._is_held_open:
            os.write(2, f"chaos: killed at {point}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """It does not close while this lasts."""
        self._is_held_open = True
        try:
            yield
        finally:
            self._is_held_open = False


def install(trap: Trap) -> None:
    """Wrap what this process does with Kafka from now on."""
    _wrap(AIOKafkaProducer, "begin_transaction", before=lambda *_: trap(Point.BEFORE_BEGIN))
    _wrap(AIOKafkaProducer, "commit_transaction", before=lambda *_: trap(Point.SENDS_DONE))
    _wrap(EndTxnHandler, "handle_response", before=lambda *_: trap(Point.END_ANSWERED))
    _wrap(AIOKafkaConsumer, "getmany", before=lambda reader, *_: _fetch(trap, reader))
    _wrap(AIOKafkaConnection, "send", after=lambda _, request: _sent(trap, request))


def _fetch(trap: Trap, reader: Any) -> None:
    if group_of(reader) is None:
        trap(Point.RESTORING)


def _sent(trap: Trap, request: Any) -> None:
    if isinstance(request, EndTxnRequest):
        trap(Point.END_SENT)


def _nothing(*_: Any) -> None:
    pass


def _wrap(
    owner: type,
    name: str,
    *,
    before: Callable[..., None] = _nothing,
    after: Callable[..., None] = _nothing,
) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*args: Any, **more: Any) -> Any:
        before(*args)
        result = original(*args, **more)
        after(*args)
        return result

    setattr(owner, name, wrapped)
