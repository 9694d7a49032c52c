"""The queue of partials to publish: outside transactions, without delaying anything."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import structlog

from consumer.errors import ConfigError, Retriable
from consumer.interfaces import Broadcast
from consumer.metrics import Metrics
from consumer.wakeup import Wakeup
from schemas.transcript import AnyEvent

log = structlog.get_logger(__name__)

MAX_PENDING: Final = 1_000  # events that wait to be broadcast; older ones are dropped


class BroadcastQueue:
    """Publishes events in batches. `run` is its loop, until `close`."""

    def __init__(self, broadcast: Broadcast, metrics: Metrics) -> None:
        self._broadcast = broadcast
        self._metrics = metrics
        self._pending: deque[AnyEvent] = deque(maxlen=MAX_PENDING)
        self._wakeup = Wakeup()

    def put(self, events: Iterable[AnyEvent]) -> None:
        self._pending.extend(events)
        if self._pending:
            self._wakeup.notify()

    def close(self) -> None:
        """End the loop; pending events are dropped."""
        self._wakeup.close()

    async def run(self) -> None:
        while await self._wakeup.wait():
            events = list(self._pending)
            self._pending.clear()
            try:
                await self._broadcast.publish(events)
            except (Retriable, ConfigError) as error:
                log.warning("partials dropped", count=len(events), error=str(error))
            else:
                self._metrics.count("partials", len(events))
