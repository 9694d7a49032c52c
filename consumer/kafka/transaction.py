"""A strict transactional producer over aiokafka's: a transaction commits or the producer is closed.

aiokafka 0.14 commits after a failed send; retries EndTxn silently, so that a late request could end
the *next* transaction; bounds nothing in time; leaves a gap in the sequence numbers when a batch
expires; and checks its states by bare asserts. Hence every send is awaited before the commit, every
call has a deadline below the broker's own, and the producer cannot be used after any error. A new
producer with the same id gets a higher epoch, which aborts the open transaction of this one
(KIP-98).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from consumer.core.streams.records import Partition
from consumer.kafka.errors import deadline, translate_errors
from transport.compat import abandon_producer, transaction_error
from transport.credentials import Credentials

START_S: Final = 30.0  # the broker may first have to end the previous producer's transaction
SEND_S: Final = 20.0
COMMIT_S: Final = 15.0
CLOSE_S: Final = 5.0
TRANSACTION_MS: Final = 40_000  # the broker's own timeout, above all deadlines of one commit
_MAX_REQUEST_BYTES: Final = 4 << 20  # the largest dead letter


def transactional_id(group: str, partition: Partition) -> str:
    """Return the id of the group's owner of the partition: Kafka fences earlier owners by it."""
    return f"stt.{group}.{partition.topic}.{partition.number}"


class Output(NamedTuple):
    """One record to write."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class TransactionalProducer:
    """Writes batches of records, one transaction each.

    After an error only `close` may be called.
    """

    def __init__(self, bootstrap: str, credentials: Credentials, transactional_id: str) -> None:
        self._id = transactional_id
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            **credentials.arguments,
            transactional_id=transactional_id,
            acks="all",
            max_batch_size=256 << 10,
            max_request_size=_MAX_REQUEST_BYTES,
            request_timeout_ms=10_000,
            transaction_timeout_ms=TRANSACTION_MS,
        )
        credentials.attach(self._producer.client)

    async def start(self) -> None:
        """Fence the previous producer of this id and wait for the end of its last transaction."""
        async with deadline(START_S, f"opening transactions of {self._id}"):
            await self._producer.start()

    async def write(self, outputs: Sequence[Output]) -> list[int]:
        """Write the records in one transaction; return their offsets.

        Raises `Fenced`, `Retriable` (the outcome is unknown), `ConfigError`.
        """
        with translate_errors(f"beginning a transaction of {self._id}"):
            await self._producer.begin_transaction()
        async with deadline(SEND_S, f"sending in a transaction of {self._id}"):
            pending = [await self._send(output) for output in outputs]
            written = await self._written(pending)
        async with deadline(COMMIT_S, f"committing a transaction of {self._id}"):
            await self._producer.commit_transaction()
        return [record.offset for record in written]

    async def _written(
        self, pending: Sequence[asyncio.Future[RecordMetadata]]
    ) -> list[RecordMetadata]:
        """Await all sends: the commit does not report one that failed."""
        try:
            return await asyncio.gather(*pending)
        except KafkaError as error:  # the transaction's own error states the cause
            raise transaction_error(self._producer) or error from error

    async def close(self) -> None:
        """Stop without ending the open transaction: the next producer of this id aborts it."""
        with contextlib.suppress(KafkaError):
            await abandon_producer(self._producer, CLOSE_S)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_S):
                await self._producer.stop()

    async def _send(self, output: Output) -> asyncio.Future[RecordMetadata]:
        future: asyncio.Future[RecordMetadata] = await self._producer.send(
            output.topic,
            value=output.value,
            key=output.key,
            partition=output.partition,
            headers=list(output.headers),
        )
        future.add_done_callback(_retrieve_exception)
        return future


def _retrieve_exception(future: asyncio.Future[RecordMetadata]) -> None:
    """Keep asyncio from logging the errors of further sends: `_written` raises the first one."""
    if not future.cancelled():
        future.exception()
