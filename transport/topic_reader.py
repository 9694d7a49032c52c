"""Read one topic without a consumer group: all partitions, committed records only.

Any number of readers get all records, and Kafka stores nothing about them.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from typing import Final, Self, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from transport.authorization import authorization_problem, missing_topic
from transport.diagnosis import verify_access
from transport.errors import AccessDenied
from transport.security import Security
from transport.start import Edge, Start

CONNECT_TIMEOUT_S: Final = 10.0
_FETCH_TIMEOUT_MS: Final = 1_000  # so that a reader without records still finds new partitions
METADATA_MAX_AGE_MS: Final = 10_000  # the time within which new partitions are found
_FETCH_BYTES: Final = 5 << 20  # per partition: more than the largest dead letter

Positions: TypeAlias = dict[TopicPartition, int]  # the next offset to read

log = logging.getLogger(__name__)


class ReaderError(Exception):
    """The topic cannot be read: one line that states what failed and what to check."""


class TopicReader:
    """A reader of all partitions; entering it connects and determines the start offsets.

    Entering raises ReaderError, within about ten seconds, if no broker answers, the login is
    rejected or the topic is missing; reading raises it if Kafka rejects a fetch. While a broker
    is down, reading waits.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        start: Start,
        security: Security = Security(),  # noqa: B008 - frozen
        warn: Callable[[str], None] = log.warning,
    ) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._start = start
        self._security = security
        self._warn = warn
        self._consumer: AIOKafkaConsumer

    async def __aenter__(self) -> Self:
        try:
            arguments = await verify_access(self._bootstrap, self._security)
        except AccessDenied as error:
            raise ReaderError(str(error)) from error
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            **arguments,
            isolation_level="read_committed",
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._open()
        except (KafkaError, OSError) as error:  # a timeout is an OSError
            await self._consumer.stop()
            raise ReaderError(
                f"no answer from Kafka at {self._bootstrap} ({type(error).__name__}): "
                "check the address and that it runs"
            ) from error
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def records(self) -> AsyncIterator[ConsumerRecord]:
        """Yield all records from the start on, for ever; each partition's in order."""
        while True:
            for record in in_time_order(await self._fetch()):
                yield record

    async def records_to_end(self, until_ms: int | None = None) -> AsyncIterator[ConsumerRecord]:
        """Yield the records from the start to the current end of the topic.

        `until_ms`: to the first record of each partition that was appended at that Unix time or
        later, if it has one.
        """
        at: Start = Edge.NOW if until_ms is None else until_ms
        ends = await self._offsets(at, self._consumer.assignment())
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            for record in in_time_order(await self._fetch()):
                if record.offset < ends.get(TopicPartition(record.topic, record.partition), 0):
                    yield record

    async def _open(self) -> None:
        await self._consumer.start()
        # All topics are requested: a request for this one by name might create it.
        if self._topic not in await self._consumer.topics():
            raise ReaderError(missing_topic(self._bootstrap, self._topic, self._security))
        first = TopicPartition(self._topic, 0)
        self._consumer.assign([first])  # makes the client fetch the topic's metadata,
        await self._consumer.beginning_offsets([first])  # and this waits for it
        self._seek(await self._offsets(self._start, self._partitions()))

    async def _offsets(self, at: Start, partitions: Collection[TopicPartition]) -> Positions:
        match at:
            case Edge.BEGINNING:
                return dict(await self._consumer.beginning_offsets(partitions))
            case Edge.NOW:
                return dict(await self._consumer.end_offsets(partitions))
            case int(time_ms):
                ends: Positions = await self._consumer.end_offsets(partitions)
                found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, time_ms))
                return ends | {tp: first.offset for tp, first in found.items() if first is not None}

    def _partitions(self) -> set[TopicPartition]:
        numbers = self._consumer.partitions_for_topic(self._topic) or set()
        return {TopicPartition(self._topic, number) for number in numbers}

    def _seek(self, positions: Positions) -> None:
        self._consumer.assign(list(positions))  # resets all positions
        for partition, offset in positions.items():
            self._consumer.seek(partition, offset)

    async def _fetch(self) -> Iterable[list[ConsumerRecord]]:
        try:
            await self._add_new_partitions()
            # Without a limit: with one, positions would stop before a commit marker at the end.
            fetched: Mapping[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                timeout_ms=_FETCH_TIMEOUT_MS
            )
        except OffsetOutOfRangeError as error:
            await self._skip_deleted(error.args[0])
            return ()
        except KafkaError as error:
            problem = authorization_problem(error, self._security) or repr(error)
            raise ReaderError(f"Kafka rejects reading {self._topic}: {problem}") from error
        return fetched.values()

    async def _add_new_partitions(self) -> None:
        """Read partitions that were added since the start, from their beginning."""
        known = self._consumer.assignment()
        if new := self._partitions() - known:
            positions = {tp: await self._consumer.position(tp) for tp in known}
            self._seek(positions | await self._consumer.beginning_offsets(new))

    async def _skip_deleted(self, positions: Positions) -> None:
        firsts = await self._consumer.beginning_offsets(list(positions))
        for (topic, number), first in firsts.items():
            partition = TopicPartition(topic, number)
            self._warn(
                f"{topic}/{number}: offsets {positions[partition]}-{first - 1} were deleted "
                "(retention) before they could be read"
            )
            self._consumer.seek(partition, first)


def in_time_order(batches: Iterable[list[ConsumerRecord]]) -> Iterable[ConsumerRecord]:
    """Yield the records merged by timestamp; each batch's order is kept whatever its timestamps."""
    return heapq.merge(*batches, key=lambda record: record.timestamp)
