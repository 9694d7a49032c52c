"""Partials out: a plain producer, outside transactions; what cannot be sent soon is dropped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, Self

from aiokafka import AIOKafkaProducer

from consumer.kafka.errors import deadline, translate_errors
from schemas.codec import encode_event
from schemas.transcript import AnyEvent
from transport.credentials import Credentials

SEND_S: Final = 2.0  # later a newer partial says more
_STOP_S: Final = 2.0


class KafkaBroadcast:
    """Use as an asynchronous context manager.

    Partitions by key, as publishers do: a stream's partials lie in its partition.
    """

    def __init__(self, bootstrap: str, credentials: Credentials, topic: str) -> None:
        self._topic = topic
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            **credentials.arguments,
            acks=1,
            request_timeout_ms=round(SEND_S * 1000),
        )
        credentials.attach(self._producer.client)

    async def __aenter__(self) -> Self:
        with translate_errors("reaching the brokers"):
            await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError):  # without a broker it would try for ever
            async with asyncio.timeout(_STOP_S):
                await self._producer.stop()

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        """Raises `Retriable`, `ConfigError`."""
        async with deadline(SEND_S, "publishing partials"):
            sent = [await self._send(event) for event in events]
            await asyncio.gather(*sent)

    async def _send(self, event: AnyEvent) -> asyncio.Future[object]:
        key, value, headers = encode_event(event)
        future: asyncio.Future[object] = await self._producer.send(
            self._topic, key=key, value=value, headers=headers
        )
        return future
