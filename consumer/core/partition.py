"""All that one assigned partition knows: its streams, its ledger, its waiting utterances.

    ingest -> listen -> (scores) -> hear -> jobs -> (text) -> finish -> ledger

Pure: what is in brackets happens elsewhere. Times are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from consumer.core.events import Decoded, final
from consumer.core.progress import DeadLetter, Ledger
from consumer.core.session import Heard
from consumer.core.stream import Stream, StreamPolicy
from consumer.core.values import (
    Chunk,
    Float32Array,
    Job,
    JobId,
    JobKind,
    Lane,
    Listen,
    Partition,
    Record,
)
from schemas.errors import WireError
from schemas.transcript import Model, TranscriptFinal


class Outcome(StrEnum):
    """What became of a record."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True)
class PartitionPolicy:
    """What holds for every partition of a topic."""

    lane: Lane
    stream: StreamPolicy
    read: Callable[[Record], Chunk]  # raises WireError
    model: Model
    final_within_s: float  # a final's deadline, from the end of its utterance
    stall_s: float  # an open utterance ends after this long without a record
    idle_s: float  # a stream ends after this long without a record, in append time


class PartitionTask:
    """One assignment of one partition; `epoch` tells it from earlier ones."""

    def __init__(
        self, partition: Partition, epoch: int, next_offset: int, policy: PartitionPolicy
    ) -> None:
        self.partition = partition
        self.epoch = epoch
        self.ledger = Ledger(partition, epoch, next_offset)
        self.time_ms = 0  # append time of the newest record
        self._policy = policy
        self._read_at = 0.0  # monotonic time of the newest record
        self._streams: dict[str, Stream] = {}
        self._touched: dict[str, Stream] = {}  # with steps to take
        self._last_s: dict[str, float] = {}  # monotonic time of each stream's last record
        self._closed: list[Heard] = []
        self._waiting: dict[JobId, Heard] = {}

    @property
    def streams(self) -> int:
        return len(self._streams)

    def ingest(self, record: Record, now: float) -> Outcome:
        self.ledger.read(record.offset)
        self.time_ms = max(self.time_ms, record.timestamp_ms)
        self._read_at = now
        try:
            fresh = self._push(self._policy.read(record), now)
        except WireError as error:
            self.ledger.bury(DeadLetter(record, error.reason, str(error)))
            return Outcome.DEAD_LETTER
        return Outcome.ACCEPTED if fresh else Outcome.DUPLICATE

    def listen(self) -> list[Listen]:
        """Audio to score before anything else can be decided; empty: all is decided."""
        requests = []
        for name, stream in list(self._touched.items()):
            request, heard = stream.listen()
            self._closed.extend(heard)
            if request is None:
                self._settle(name, stream)
            else:
                requests.append(request)
        return requests

    def hear(self, request: Listen, probabilities: Float32Array) -> None:
        """Scores of what `listen` asked for."""
        self._closed.extend(self._streams[request.session.stream_id].hear(probabilities))

    def tick(self, now: float, *, caught_up: bool) -> None:
        """End what has stopped; `caught_up`: no record waits in Kafka.

        Then append time goes on as the monotonic clock does, for the brokers' clocks are not ours.
        """
        time_ms = float(self.time_ms)
        if caught_up:
            time_ms += (now - self._read_at) * 1000
            for stream in self._silent_since(now - self._policy.stall_s):
                stream.stall()
        expired = time_ms - self._policy.idle_s * 1000
        for stream in [s for s in self._streams.values() if s.last_ms < expired]:
            self._touched[stream.stream_id] = stream
            stream.expire()

    def jobs(self, now: float) -> list[Job]:
        """Utterances that ended since the last call."""
        closed, self._closed = self._closed, []
        self._waiting.update((heard.id, heard) for heard in closed)
        return [self._job(heard, now) for heard in closed]

    def finish(self, id_: JobId, decoded: Decoded) -> TranscriptFinal:
        """The text of an utterance has come."""
        heard = self._waiting.pop(id_)
        event = final(heard, decoded, self._policy.model)
        self.ledger.settle(heard.ticket, event)
        return event

    def _push(self, chunk: Chunk, now: float) -> bool:
        name = chunk.audio.stream_id
        stream = self._streams.get(name)
        if stream is None:
            stream = Stream(self.partition, name, self._policy.stream, self.ledger)
        fresh = stream.push(chunk)
        self._streams[name] = self._touched[name] = stream
        self._last_s[name] = now
        return fresh

    def _settle(self, name: str, stream: Stream) -> None:
        del self._touched[name]
        if stream.is_over:
            del self._streams[name], self._last_s[name]

    def _silent_since(self, then: float) -> Iterable[Stream]:
        for name, stream in self._streams.items():
            if stream.in_speech and self._last_s[name] < then:
                self._touched[name] = stream
                yield stream

    def _job(self, heard: Heard, now: float) -> Job:
        return Job(
            id=heard.id,
            epoch=self.epoch,
            kind=JobKind.FINAL,
            lane=self._policy.lane,
            closed_at=now,
            deadline=now + self._policy.final_within_s,
            utterance=heard.utterance,
            options=heard.options,
        )
