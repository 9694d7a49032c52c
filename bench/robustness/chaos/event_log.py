"""What readers that run all along receive of every topic, from its beginning."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeAlias

from admin.dead_letters import dead_letter
from admin.state_admin import StateAdmin
from bench.robustness.chaos.evidence import (
    LoggedDeadLetter,
    LoggedEvent,
    LoggedRecord,
    PartitionProgress,
)
from bench.robustness.chaos.test_streams import label_of
from consumer.core.partition.state import Found, Halt
from schemas.codec import decode_event
from schemas.topics import Topics
from transport.credentials import Credentials
from transport.security import Security
from transport.start import Edge
from transport.topic_reader import TopicReader

Take: TypeAlias = Callable[[Any, float], None]  # a record, and when it was received (monotonic)


class EventLog:
    """The records, events and dead letters of a run."""

    def __init__(self) -> None:
        self.records: list[LoggedRecord] = []
        self.events: list[LoggedEvent] = []
        self.dead_letters: list[LoggedDeadLetter] = []
        self.read: Counter[int] = Counter()  # next offset of the audio topic, by partition

    async def follow(self, bootstrap: str, topics: Topics) -> None:
        """Read the topics until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_follow(bootstrap, topics.audio, self._on_audio))
            group.create_task(_follow(bootstrap, topics.transcripts, self._on_event))
            group.create_task(_follow(bootstrap, topics.audio_dlq, self._on_dead_letter))

    def _on_audio(self, record: Any, now: float) -> None:
        label = label_of(record.headers)
        self.records.append(LoggedRecord(record.partition, record.offset, now, label))
        self.read[record.partition] = record.offset + 1

    def _on_event(self, record: Any, now: float) -> None:
        self.events.append(_logged_event(record, now))

    def _on_dead_letter(self, record: Any, _: float) -> None:
        letter = dead_letter(record)
        partition, offset = int(letter.details["partition"]), int(letter.details["offset"])
        self.dead_letters.append(LoggedDeadLetter(partition, offset, letter.reason))


async def _follow(bootstrap: str, topic: str, take: Take) -> None:
    """Hand over every committed record of a topic, until cancelled."""
    loop = asyncio.get_running_loop()
    async with _reader(bootstrap, topic) as reader:
        async for record in reader.records():
            take(record, loop.time())


async def read_events(bootstrap: str, topic: str) -> list[LoggedEvent]:
    """Return the events that a transcripts topic holds now."""
    async with _reader(bootstrap, topic) as reader:
        return [_logged_event(record, 0.0) async for record in reader.records_to_end()]


def _reader(bootstrap: str, topic: str) -> TopicReader:
    """Return a reader that does not warn of records that a fault deletes."""
    return TopicReader(bootstrap, topic, start=Edge.BEGINNING, warn=lambda _: None)


def _logged_event(record: Any, now: float) -> LoggedEvent:
    event = decode_event(record.headers, record.value)
    return LoggedEvent(record.partition, record.offset, now, event)


async def read_progress(bootstrap: str, topics: Topics, group: str) -> dict[int, PartitionProgress]:
    """Return the progress of every partition of the audio topic, as the group has committed it.

    Raises `Retriable`, `ConfigError`, `Halt`.
    """
    admin = StateAdmin(bootstrap, Credentials(Security()), topics, group)
    progress = {}
    for status in await admin.list_partitions():
        if status.found is None:
            raise Halt(status.problem)
        if status.partition.topic == topics.audio:
            progress[status.partition.number] = _progress(status.found)
    return progress


def _progress(found: Found) -> PartitionProgress:
    state, end = found.partition, found.log_end
    if state is None:
        return PartitionProgress(None, 0, end)
    return PartitionProgress(state.next_offset, state.resume_offset, end, asdict(state.tally))
