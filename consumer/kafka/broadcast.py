"""Publish partials with a plain producer, outside transactions; late ones are dropped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, Self

import structlog
from aiokafka import AIOKafkaProducer

from consumer.errors import where_raised
from consumer.kafka.errors import deadline, translate_errors
from schemas.codec import WireRecord, encode_event
from schemas.transcript import AnyEvent
from transport.credentials import Credentials

log = structlog.get_logger(__name__)

SEND_S: Final = 2.0  # after it a newer partial is due
_STOP_S: Final = 2.0


class KafkaBroadcast:
    """`consumer.interfaces.Broadcast` over Kafka. An asynchronous context manager.

    The producer picks the partition from the key, as publishers do, so the partials of a stream
    share its partition number.
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
        with contextlib.suppress(TimeoutError):  # without a broker, `stop` never returns
            async with asyncio.timeout(_STOP_S):
                await self._producer.stop()

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        """Send the events and await the broker's answers. Raises `Retriable`, `ConfigError`."""
        records = [record for event in events if (record := _encoded(event)) is not None]
        async with deadline(SEND_S, "publishing partials"):
            pending = [await self._send(record) for record in records]
            await asyncio.gather(*pending)

    async def _send(self, record: WireRecord) -> asyncio.Future[object]:
        key, value, headers = record
        future: asyncio.Future[object] = await self._producer.send(
            self._topic, key=key, value=value, headers=headers
        )
        return future


def _encoded(event: AnyEvent) -> WireRecord | None:
    """Return the record of an event, or None after an unexpected exception."""
    try:
        return encode_event(event)
    except Exception as error:  # noqa: BLE001 -- contained: a partial may be missing
        log.error(  # noqa: TRY400 -- the message may quote the publisher
            "partial failed",
            stream=event.stream_id,
            error=type(error).__name__,
            traceback=where_raised(error),
            action="report the traceback",
        )
        return None
