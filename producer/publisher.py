"""Audio into Kafka from any Python program.

    async with AudioPublisher("localhost:9092") as publisher:
        await publisher.send(AudioChunk("call-1", pcm, rate=16_000, channels=1, seq=0, start=0))
        await publisher.send(AudioChunk("call-1", b"", seq=1, end=True))

A stream's records go to one partition, by murmur2 of its id, in the order in which they are sent;
acks=all and idempotence keep them all, once each.
"""

from __future__ import annotations

import asyncio
from typing import Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.structs import RecordMetadata

from producer.errors import PublishError
from schemas.audio import MAX_HEADER_BYTES, MAX_RECORD_BYTES, AudioChunk
from schemas.codec import decode_audio, encode_audio
from schemas.topics import Topics
from transport.authorization import authorization_problem, missing_topic
from transport.compat import abandon_producer
from transport.diagnosis import verify_access
from transport.errors import AccessDenied
from transport.security import Security

CONNECT_TIMEOUT_S: Final = 10.0
DELIVERY_TIMEOUT_S: Final = 30.0  # time enough for another broker to take over
_CLOSE_TIMEOUT_S: Final = 5.0
_GIVE_UP_TIMEOUT_S: Final = 0.5
_BATCH_BYTES: Final = 256 << 10
_FRAMING_BYTES: Final = 8 << 10  # a batch's and a record's own fields, and the key


class AudioPublisher:
    """Entering it connects; leaving it waits until everything is acknowledged.

    Both raise PublishError, entering within about ten seconds, and so does `send` once Kafka has
    refused anything or has acknowledged nothing for `delivery_timeout_s`: what was sent last is in
    doubt then.
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
        self._heard_s = 0.0  # when Kafka acknowledged last, or nothing was left to be; monotonic

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
            max_request_size=MAX_RECORD_BYTES + MAX_HEADER_BYTES + _FRAMING_BYTES,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._open()
        except (KafkaError, OSError) as error:  # a timeout is an OSError
            await self._close()
            if isinstance(error, KafkaError) and authorization_problem(error, self._security):
                raise self._refused(error) from error
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

        Raises ValueError for a chunk that would be dead-lettered, or has an option that would not
        hold; PublishError.
        """
        self._check_heard()
        self._check()
        key, value, headers = record = encode_audio(chunk)
        if problems := decode_audio(*record).problems:
            raise ValueError("; ".join(problems))
        try:
            delivery = await self._producer.send(self._topic, key=key, value=value, headers=headers)
        except KafkaError as error:
            raise self._refused(error) from error
        self._unacknowledged += 1
        delivery.add_done_callback(self._delivered)

    async def flush(self) -> None:
        """Wait until all that was sent is acknowledged. Raises PublishError."""
        try:
            async with asyncio.timeout(self._delivery_timeout_s):
                await self._producer.flush()
        except TimeoutError as error:
            self._failure = error
        self._check()

    async def _open(self) -> None:
        await self._producer.start()
        # Asked for all topics, Kafka names them; asked for this one, it might create it.
        cluster = await self._producer.client.fetch_all_metadata()
        if self._topic not in cluster.topics():
            raise PublishError(missing_topic(self._bootstrap, self._topic, self._security))

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S if self._failure is None else 0):
                await self._producer.flush()
        except TimeoutError:
            await abandon_producer(self._producer, _GIVE_UP_TIMEOUT_S)
        await self._producer.stop()

    def _delivered(self, delivery: asyncio.Future[RecordMetadata]) -> None:
        self._unacknowledged -= 1
        self._heard_s = asyncio.get_running_loop().time()
        if not delivery.cancelled():
            self._failure = self._failure or delivery.exception()

    def _check_heard(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if not self._unacknowledged:
            self._heard_s = now_s
        elif now_s - self._heard_s > self._delivery_timeout_s:
            self._failure = TimeoutError()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._refused(self._failure) from self._failure

    def _refused(self, error: BaseException) -> PublishError:
        match error:
            case KafkaError() if told := authorization_problem(error, self._security):
                reason = told
            case TimeoutError() | KafkaTimeoutError():
                reason = f"nothing acknowledged within {self._delivery_timeout_s:.0f} s"
            case _:
                reason = type(error).__name__
        return PublishError(f"{self._topic} at {self._bootstrap}: {reason}")
