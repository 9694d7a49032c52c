"""aiokafka's transactional producer, made strict: every transaction has an outcome or is given up.

Of aiokafka 0.14: a commit succeeds after a failed send; EndTxn is retried unseen, and a late one
could end the *next* transaction; nothing is bounded in time; an expired batch burns sequence
numbers for ever; wrong states are bare asserts. Hence: every send is awaited before the commit,
everything has a deadline below the broker's own, and after any error the producer is of no use: a
new one with the same id gets a higher epoch, which kills whatever this one still has under way
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

START_S: Final = 30.0  # a transaction of the one before may have to be decided first
SEND_S: Final = 20.0
COMMIT_S: Final = 15.0
CLOSE_S: Final = 5.0
TRANSACTION_MS: Final = 40_000  # then the broker aborts it: above all deadlines of one commit
_MAX_REQUEST_BYTES: Final = 4 << 20  # the largest dead letter


def transactional_id(group: str, partition: Partition) -> str:
    """Of whoever serves the partition for the group; the fence between them."""
    return f"stt.{group}.{partition.topic}.{partition.number}"


class Output(NamedTuple):
    """One record to be written."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class TransactionalProducer:
    """One transaction at a time, each of them all or nothing.

    After an error nothing but `close` may be called.
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
        """Fence whoever had this id, and wait until its last transaction is decided."""
        async with deadline(START_S, f"opening transactions of {self._id}"):
            await self._producer.start()

    async def write(self, outputs: Sequence[Output]) -> list[int]:
        """All of them, visible together; the offset of each.

        Raises `Fenced`, `Retriable` when the outcome is not known, `ConfigError`.
        """
        with translate_errors(f"beginning a transaction of {self._id}"):
            await self._producer.begin_transaction()
        async with deadline(SEND_S, f"sending in a transaction of {self._id}"):
            sent = [await self._send(output) for output in outputs]
            written = await self._written(sent)
        async with deadline(COMMIT_S, f"committing a transaction of {self._id}"):
            await self._producer.commit_transaction()
        return [record.offset for record in written]

    async def _written(
        self, sent: Sequence[asyncio.Future[RecordMetadata]]
    ) -> list[RecordMetadata]:
        """All of them: the commit would not tell of one that failed."""
        try:
            return await asyncio.gather(*sent)
        except KafkaError as error:  # of one that was sent all the same, perhaps
            raise transaction_error(self._producer) or error from error

    async def close(self) -> None:
        """At once: what is under way is left to the next producer of this id."""
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
    """One error is told for all sends of a transaction: asyncio need not log the others."""
    if not future.cancelled():
        future.exception()
