"""The private names of aiokafka 0.14.0 that this project uses; no other file uses any.

pyproject.toml pins that version, and tests/transport/test_compat.py fails when a name changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.structs import OffsetAndMetadata

Send: TypeAlias = Callable[..., Awaitable[Any]]


def client_of(user: AIOKafkaConsumer | AIOKafkaAdminClient) -> AIOKafkaClient:
    """Return the connections of a consumer or admin client (a producer's are `.client`)."""
    return user._client  # noqa: SLF001


def set_credentials(client: AIOKafkaClient, arguments: Mapping[str, Any]) -> None:
    """Make the client's next connections use the TLS context and password of `arguments`."""
    client._ssl_context = arguments.get("ssl_context")  # noqa: SLF001
    client._sasl_plain_password = arguments.get("sasl_plain_password")  # noqa: SLF001


def replace_send(client: AIOKafkaClient, wrap: Callable[[Send], Send]) -> None:
    """Replace `send`, through which every request of the client goes, by `wrap` of it."""
    client.send = wrap(client.send)


def group_of(consumer: AIOKafkaConsumer) -> str | None:
    """Return the consumer's group, or None for one without."""
    group: str | None = consumer._group_id  # noqa: SLF001
    return group


async def committed_offset(
    consumer: AIOKafkaConsumer, tp: TopicPartition
) -> OffsetAndMetadata | None:
    """Return the offset that the group has stored, with its metadata, or None."""
    found = await consumer._coordinator.fetch_committed_offsets([tp])  # noqa: SLF001
    stored: OffsetAndMetadata | None = found.get(tp)
    return None if stored is None or stored.offset < 0 else stored


def position_at_end(consumer: AIOKafkaConsumer, tp: TopicPartition) -> bool:
    """Return whether the position has reached the high watermark of the last fetch.

    False before the first fetch of the partition. `position()` would wait instead.
    """
    highwater = consumer.highwater(tp)
    assignment = consumer._subscription.subscription.assignment  # noqa: SLF001
    return highwater is not None and assignment.state_value(tp).position >= highwater


def transaction_error(producer: AIOKafkaProducer) -> BaseException | None:
    """Return the error of the open transaction, or None."""
    waiter = producer._txn_manager._transaction_waiter  # noqa: SLF001
    return waiter.exception() if waiter.done() and not waiter.cancelled() else None


def producer_epoch(producer: AIOKafkaProducer) -> int:
    """Return the epoch of a started transactional producer."""
    epoch: int = producer._txn_manager.producer_epoch  # noqa: SLF001
    return epoch


async def abandon_producer(producer: AIOKafkaProducer, timeout_s: float) -> None:
    """Close the connections and drop queued batches, so that `stop` does not wait for them.

    An idempotent producer retries without end, and `stop` waits for every batch.
    """
    with contextlib.suppress(OSError):
        await producer.client.close()
    sender = producer._sender  # noqa: SLF001
    with contextlib.suppress(Exception):  # its last error was raised before
        async with asyncio.timeout(timeout_s):
            await sender.close()
        await sender.sender_task
    accumulator = producer._message_accumulator  # noqa: SLF001
    accumulator._batches.clear()  # noqa: SLF001
    accumulator._pending_batches.clear()  # noqa: SLF001


def keep_batches(producer: AIOKafkaProducer, seconds: float) -> None:
    """Let queued batches expire after `seconds`."""
    producer._message_accumulator._batch_ttl = seconds  # noqa: SLF001


async def send_admin_request(admin: AIOKafkaAdminClient, request: Any) -> Any:
    """Send a request for which the admin client has no method; return the response."""
    return await admin._send_request(request)  # noqa: SLF001
