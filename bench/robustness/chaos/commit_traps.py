"""Exact points of a commit at which a worker can be killed.

They lie inside aiokafka, between a request and its answer, where the product has no hook. So the
bench's own worker process wraps methods of aiokafka's classes; no other process does, and the
product runs unchanged on top of them.
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

from bench.robustness.chaos.worker_control import WorkerControl
from transport.compat import group_of


class CommitPoint(StrEnum):
    BEFORE_BEGIN = "before-begin"
    SENDS_DONE = "sends-done"
    END_SENT = "end-sent"  # EndTxn is on its way
    END_ANSWERED = "end-answered"  # the broker has committed, and the worker does not know it
    RESTORING = "restoring"  # a consumer without a group: the state topic is being read


class CommitTrap:
    """Kills this process at the point that its run asks for."""

    def __init__(self, control: WorkerControl) -> None:
        self._control = control
        self._is_held_open = False

    def __call__(self, point: CommitPoint) -> None:
        if point.encode() == self._control.die_at and not self._is_held_open:
            os.write(2, f"chaos: killed at {point}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Keep it from closing."""
        self._is_held_open = True
        try:
            yield
        finally:
            self._is_held_open = False


def install(trap: CommitTrap) -> None:
    """Wrap what this process does with Kafka from now on."""
    _wrap(AIOKafkaProducer, "begin_transaction", lambda *_: trap(CommitPoint.BEFORE_BEGIN))
    _wrap(AIOKafkaProducer, "commit_transaction", lambda *_: trap(CommitPoint.SENDS_DONE))
    _wrap(EndTxnHandler, "handle_response", lambda *_: trap(CommitPoint.END_ANSWERED))
    _wrap(AIOKafkaConsumer, "getmany", lambda consumer, *_: _on_fetch(trap, consumer))
    _wrap(AIOKafkaConnection, "send", after=lambda _, request: _on_sent(trap, request))


def _on_fetch(trap: CommitTrap, consumer: AIOKafkaConsumer) -> None:
    if group_of(consumer) is None:
        trap(CommitPoint.RESTORING)


def _on_sent(trap: CommitTrap, request: Any) -> None:
    if isinstance(request, EndTxnRequest):
        trap(CommitPoint.END_SENT)


def _nothing(*_: Any) -> None:
    """The default of `_wrap`."""


def _wrap(
    owner: type,
    name: str,
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
