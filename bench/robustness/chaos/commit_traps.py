"""Exact points of a commit at which a worker can be killed.

They lie inside aiokafka, between a request and its answer, where the product has no hook. So the
bench's own worker process wraps methods of aiokafka's classes; no other process does, and the
product runs unchanged on top of them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Any, TypeAlias

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


CommitTrap: TypeAlias = Callable[[CommitPoint], None]


def die(control: WorkerControl, point: CommitPoint) -> None:
    """Kill this process if its run asks for it at this point."""
    if point.encode() == control.die_at:
        os.write(2, f"chaos: killed at {point}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def install(trap: CommitTrap, *, answered: bool) -> None:
    """Wrap what this process does with Kafka from now on; `answered`: END_ANSWERED too."""
    _wrap(AIOKafkaProducer, "begin_transaction", lambda *_: trap(CommitPoint.BEFORE_BEGIN))
    _wrap(AIOKafkaProducer, "commit_transaction", lambda *_: trap(CommitPoint.SENDS_DONE))
    _wrap(AIOKafkaConsumer, "getmany", lambda consumer, *_: _on_fetch(trap, consumer))
    _wrap(AIOKafkaConnection, "send", lambda _, request: _on_sent(trap, request), after=True)
    if answered:
        _wrap(EndTxnHandler, "handle_response", lambda *_: trap(CommitPoint.END_ANSWERED))


def _on_fetch(trap: CommitTrap, consumer: AIOKafkaConsumer) -> None:
    if group_of(consumer) is None:
        trap(CommitPoint.RESTORING)


def _on_sent(trap: CommitTrap, request: Any) -> None:
    if isinstance(request, EndTxnRequest):
        trap(CommitPoint.END_SENT)


def _wrap(owner: type, name: str, hook: Callable[..., None], *, after: bool = False) -> None:
    """Call the hook before or after each call of a method, with its arguments."""
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*args: Any, **more: Any) -> Any:
        if not after:
            hook(*args)
        result = original(*args, **more)
        if after:
            hook(*args)
        return result

    setattr(owner, name, wrapped)
