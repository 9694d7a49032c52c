"""The watchdog of a worker: its event loop, its Kafka consumer, its gauges."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

import structlog

from consumer.core.partition.partition import PartitionTask
from consumer.core.streams.records import Lane
from consumer.errors import SttError
from consumer.interfaces import Clock, Engine
from consumer.metrics import Metrics
from consumer.wakeup import Wakeup

log = structlog.get_logger(__name__)

HEARTBEAT_S = 1.0  # between two checks
BLOCKED_S: Final = 1.0  # blocking of the event loop that is logged as an error
STUCK_S: Final = 60.0  # without a result of a poll: the process must restart


class Watched(Protocol):
    """The state that gauges report."""

    @property
    def tasks(self) -> Collection[PartitionTask]:
        """Tasks of the partitions that are served."""

    @property
    def halted(self) -> int:
        """Number of partitions that wait for an operator."""


class Watchdog:
    """`run` checks until `close`; it raises `SttError` if the process must restart."""

    def __init__(self, watched: Watched, engine: Engine, clock: Clock, metrics: Metrics) -> None:
        self._watched = watched
        self._engine = engine
        self._clock = clock
        self._metrics = metrics
        self._heartbeat = Wakeup()
        self._polled_at = clock.monotonic()

    def polled(self) -> None:
        """Note that a poll of Kafka returned or failed."""
        self._polled_at = self._clock.monotonic()

    def close(self) -> None:
        self._heartbeat.close()

    async def run(self) -> None:
        checked_at = self._clock.monotonic()
        self._update_gauges(checked_at)
        while await self._heartbeat.wait(HEARTBEAT_S):
            now = self._clock.monotonic()
            self._check(now, blocked_s=now - checked_at - HEARTBEAT_S)
            checked_at = now

    def _check(self, now: float, *, blocked_s: float) -> None:
        self._update_gauges(now)
        self._metrics.set("loop_lag_seconds", max(0.0, blocked_s))
        self._metrics.set("halted", self._watched.halted)
        if blocked_s > BLOCKED_S:
            log.error("event loop blocked", seconds=round(blocked_s, 1))
        if now - self._polled_at > STUCK_S:
            raise SttError(
                f"no poll of Kafka has returned for {STUCK_S:.0f} s: the worker must restart"
            )

    def _update_gauges(self, now: float) -> None:
        waiting_s = {lane: self._engine.waiting_s(lane) for lane in Lane}
        unix_ms = self._clock.unix_ms()
        self._metrics.update_gauges(self._watched.tasks, waiting_s, now, unix_ms)
