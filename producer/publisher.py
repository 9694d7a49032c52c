"""Publish audio to Kafka from any Python program.

    async with AudioPublisher("localhost:9092") as publisher:
        await publisher.send(AudioChunk("call-1", pcm, rate=16_000, channels=1, seq=0, start=0))
        await publisher.send(AudioChunk("call-1", b"", seq=1, end=True))

A stream's records go to one partition, by murmur2 of its id, in the order in which they are sent;
with acks=all and idempotence each is stored exactly once.
"""

from __future__ import annotations

import asyncio
from typing import Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.structs import RecordMetadata

from producer.errors import PublishError
from producer.records import checked_record
from schemas.audio import AudioChunk
from schemas.topics import MAX_MESSAGE_BYTES, Topics
from transport.authorization import authorization_problem, missing_topic
from transport.compat import abandon_producer
from transport.diagnosis import verify_access
from transport.errors import AccessDenied
from transport.security import Security

CONNECT_TIMEOUT_S: Final = 10.0
DELIVERY_TIMEOUT_S: Final = 30.0  # long enough for another broker to become leader
_CLOSE_TIMEOUT_S: Final = 5.0
_ABANDON_TIMEOUT_S: Final = 0.5
_BATCH_BYTES: Final = 256 << 10


class AudioPublisher:
    """A Kafka producer of audio. Entering it connects; leaving it waits for all acknowledgements.

    Both raise PublishError, entering within about ten seconds. So does `send` once Kafka has
    rejected a record, or has acknowledged none for `delivery_timeout_s`; whether the
    unacknowledged records were stored is unknown then.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str = Topics().audio,
        *,
        security: Security = Security(),  # noqa: B008 - frozen
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._security = security
        self._delivery_timeout_s = delivery_timeout_s
        self._producer: AIOKafkaProducer
        self._failure: BaseException | None = None
        self._unacknowledged = 0  # records
        # Monotonic time of the last acknowledgement, or when no record was unacknowledged.
        self._acknowledged_s = 0.0

    async def __aenter__(self) -> Self:
        try:
            arguments = await verify_access(self._bootstrap, self._security)
        except AccessDenied as error:
            raise PublishError(str(error)) from error
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            **arguments,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=round(self._delivery_timeout_s * 1000),
            max_batch_size=_BATCH_BYTES,
            max_request_size=MAX_MESSAGE_BYTES,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._open()
        except (KafkaError, OSError) as error:  # a timeout is an OSError
            await self._close()
            if isinstance(error, KafkaError) and authorization_problem(error, self._security):
                raise self._publish_error(error) from error
            raise PublishError(
                f"no answer from Kafka at {self._bootstrap} ({type(error).__name__}): check that "
                "it runs there, or name another with --bootstrap or STREAMSCRIBE_BOOTSTRAP"
            ) from error
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            await self._close()

    async def send(self, chunk: AudioChunk) -> None:
        """Queue one chunk, waiting while its partition's queue is full.

        Raises ValueError for a chunk that the worker would reject or that has an invalid option;
        PublishError.
        """
        self._check_acknowledgements()
        self._raise_failure()
        key, value, headers = checked_record(chunk)
        try:
            delivery = await self._producer.send(self._topic, key=key, value=value, headers=headers)
        except KafkaError as error:
            self._failure = error
            raise self._publish_error(error) from error
        self._unacknowledged += 1
        delivery.add_done_callback(self._on_delivery)

    async def flush(self) -> None:
        """Wait until all records are acknowledged. Raises PublishError, also after `send` has."""
        self._raise_failure()
        try:
            async with asyncio.timeout(self._delivery_timeout_s):
                await self._producer.flush()
        except TimeoutError as error:
            self._failure = error
        self._raise_failure()

    async def _open(self) -> None:
        await self._producer.start()
        # All topics are requested: a request for this one by name might create it.
        cluster = await self._producer.client.fetch_all_metadata()
        if self._topic not in cluster.topics():
            raise PublishError(missing_topic(self._bootstrap, self._topic, self._security))

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S if self._failure is None else 0):
                await self._producer.flush()
        except TimeoutError:
            await abandon_producer(self._producer, _ABANDON_TIMEOUT_S)
        await self._producer.stop()

    def _on_delivery(self, delivery: asyncio.Future[RecordMetadata]) -> None:
        self._unacknowledged -= 1
        self._acknowledged_s = asyncio.get_running_loop().time()
        if not delivery.cancelled():
            self._failure = self._failure or delivery.exception()

    def _check_acknowledgements(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if not self._unacknowledged:
            self._acknowledged_s = now_s
        elif now_s - self._acknowledged_s > self._delivery_timeout_s:
            self._failure = TimeoutError()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._publish_error(self._failure) from self._failure

    def _publish_error(self, error: BaseException) -> PublishError:
        match error:
            case KafkaError() if problem := authorization_problem(error, self._security):
                reason = problem
            case TimeoutError() | KafkaTimeoutError():
                reason = (
                    f"no record acknowledged within {self._delivery_timeout_s:.0f} s: check that "
                    "its brokers run"
                )
            case _:
                reason = f"{type(error).__name__}: check the brokers' logs"
        return PublishError(f"{self._topic} at {self._bootstrap}: {reason}")
