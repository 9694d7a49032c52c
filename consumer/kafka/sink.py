"""Events out and progress stored, in that order: at least once.

This is the seam of the exactly-once form, where output and progress become one transaction: a
commit comes in whole, and leaves whole or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, Self

from aiokafka import AIOKafkaProducer

from consumer.core.progress import Commit, DeadLetter
from consumer.errors import Fenced
from consumer.kafka.errors import translated
from schemas.codec import encode_event
from schemas.topics import Topics

STOP_S = 5.0  # to hand over what is still on its way


class Owner(Protocol):
    """Who says whether a partition is still ours, and keeps how far it has come."""

    def owns(self, commit: Commit) -> bool: ...

    async def store(self, commits: Sequence[Commit]) -> None: ...


class _Output(NamedTuple):
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class KafkaSink:
    """Use as an asynchronous context manager."""

    def __init__(self, bootstrap: str, topics: Topics, owner: Owner, worker: str) -> None:
        """`worker`: named in dead letters."""
        self._topics = topics
        self._owner = owner
        self._worker = worker
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            enable_idempotence=True,
            acks="all",
            linger_ms=5,
            max_request_size=4 << 20,
            request_timeout_ms=10_000,
        )

    async def __aenter__(self) -> Self:
        with translated("reaching the brokers"):
            await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError):  # without a broker it would try for ever
            async with asyncio.timeout(STOP_S):
                await self._producer.stop()

    async def commit(self, commits: Sequence[Commit]) -> list[Commit]:
        """Publish all output, wait until it is safe, then store all progress.

        Raises `Retriable`: tried again, some of the output may be published twice.
        """
        owned = [commit for commit in commits if self._owner.owns(commit)]
        await self._publish(output for commit in owned for output in self._outputs(commit))
        owned = [commit for commit in owned if self._owner.owns(commit)]
        if not owned:
            return []
        try:
            await self._owner.store(owned)
        except Fenced:
            return []
        return owned

    async def _publish(self, outputs: Iterable[_Output]) -> None:
        with translated("publishing transcripts"):
            sent = [await self._send(output) for output in outputs]
            await asyncio.gather(*sent)

    async def _send(self, output: _Output) -> asyncio.Future[object]:
        future: asyncio.Future[object] = await self._producer.send(
            output.topic,
            value=output.value,
            key=output.key,
            partition=output.partition,
            headers=output.headers,
        )
        return future

    def _outputs(self, commit: Commit) -> list[_Output]:
        number = commit.partition.number
        return [
            *(_Output(self._topics.transcripts, number, *encode_event(e)) for e in commit.events),
            *(self._dead(letter) for letter in commit.dead_letters),
        ]

    def _dead(self, letter: DeadLetter) -> _Output:
        """The record as it came, and why it is here."""
        record = letter.record
        told = {
            "dlq.reason": letter.reason,
            "dlq.message": letter.message,
            "dlq.topic": record.partition.topic,
            "dlq.partition": str(record.partition.number),
            "dlq.offset": str(record.offset),
            "dlq.timestamp": str(record.timestamp_ms),
            "dlq.worker": self._worker,
        }
        headers = [*record.headers, *((name, text.encode()) for name, text in told.items())]
        number = record.partition.number
        return _Output(self._topics.audio_dlq, number, record.key, record.value, headers)
