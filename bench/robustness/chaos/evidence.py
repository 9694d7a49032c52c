"""What a run leaves in Kafka, and what it should leave: the input of the invariants. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.robustness.chaos.spans import Span, merged, without
from bench.robustness.chaos.test_streams import Label, RecordKind, TestStream
from schemas.transcript import AnyEvent, StreamLoss


@dataclass(frozen=True, slots=True)
class Logged:
    """Something in a topic, or a record that it is about."""

    partition: int
    offset: int

    @property
    def place(self) -> tuple[int, int]:
        return self.partition, self.offset


@dataclass(frozen=True, slots=True)
class LoggedRecord(Logged):
    """A record of the audio topic."""

    at_s: float  # when a reader that runs all along received it; monotonic
    label: Label


@dataclass(frozen=True, slots=True)
class LoggedEvent(Logged):
    """An event of the transcripts topic, as a read_committed reader received it."""

    at_s: float  # monotonic
    event: AnyEvent


@dataclass(frozen=True, slots=True)
class LoggedDeadLetter(Logged):
    """A dead letter: the place of the record that was dead-lettered, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeletedRange:
    """Records that Kafka deleted, perhaps before they were read."""

    partition: int
    first_offset: int
    last_offset: int

    def holds(self, record: LoggedRecord) -> bool:
        inside = self.first_offset <= record.offset <= self.last_offset
        return inside and record.partition == self.partition


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """The committed progress of an audio partition."""

    next_offset: int | None  # N; None: no state is committed
    resume_offset: int  # R
    log_end: int
    outcomes: Mapping[str, int] | None = None  # records by outcome, since the beginning

    @property
    def is_drained(self) -> bool:
        return self.next_offset == self.resume_offset == self.log_end


@dataclass(frozen=True, slots=True)
class RunEvidence:
    """All that the invariants are checked on."""

    streams: Mapping[int, TestStream]  # by number
    records: Sequence[LoggedRecord]
    events: Sequence[LoggedEvent]  # of a reader that ran all along
    reread: Sequence[LoggedEvent]  # of one that read the whole topic at the end
    dead_letters: Sequence[LoggedDeadLetter]
    deleted: Sequence[DeletedRange]
    progress: Mapping[int, PartitionProgress]  # by partition
    speech: Mapping[int, Sequence[Span]]  # of each stream, by number
    texts_name_samples: bool  # the engine is the oracle


@dataclass(slots=True)
class StreamLog:
    """What the audio topic holds of one test stream."""

    stream: TestStream
    partition: int
    sound: list[Span] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)  # of records with sound, deleted ones too
    flushes: list[int] = field(default_factory=list)  # samples
    end_lost: bool = False  # the record that ends its session was deleted
    start_lost: bool = False  # its first record was, which would begin another session
    # The streams of its id that directly follow and lost their start: a consumer takes them for it.
    following: Sequence[StreamLog] = ()

    @property
    def damaged(self) -> bool:
        """Whether some of its sound was deleted."""
        return len(self.sound) < len(self.offsets)

    def sessions(self) -> list[tuple[str, str]]:
        """Return stream and session ids that it may have; a damaged one may begin anywhere."""
        begun = self.offsets if self.damaged else self.offsets[:1]
        return [(self.stream.stream_id, f"{self.partition}-{offset}") for offset in begun]

    @property
    def missing(self) -> list[Span]:
        """The samples that are not in the log, though later ones are."""
        return without([(0, max((end for _, end in self.sound), default=0))], self.sound)

    def stretches(self) -> list[Span]:
        """Return the sound without holes, cut where the publisher asked for a cut."""
        cuts = sorted(self.flushes)
        parts: list[Span] = []
        for start, end in merged(self.sound):
            edges = [start, *(cut for cut in cuts if start < cut < end), end]
            parts += pairwise(edges)
        return parts


def stream_logs(
    streams: Mapping[int, TestStream],
    records: Sequence[LoggedRecord],
    events: Sequence[LoggedEvent],
    deleted: Sequence[DeletedRange] = (),
) -> dict[int, StreamLog]:
    """Return the log of each stream, by number.

    A record that was deleted, or that a loss event names, counts as never published.
    """
    lost = _lost(events)
    logs: dict[int, StreamLog] = {}
    for record in sorted(records, key=lambda record: record.place):
        label = record.label
        if label.kind not in (RecordKind.SOUND, RecordKind.END):
            continue
        stream = streams[label.stream]
        is_lost = any(each.holds(record) for each in (*deleted, *lost[stream.stream_id]))
        if label.kind is RecordKind.END:
            logs[label.stream].end_lost = is_lost
        else:
            log = logs.setdefault(label.stream, StreamLog(stream, record.partition))
            _add(log, record, is_lost=is_lost)
    _link(logs.values())
    return logs


def _add(log: StreamLog, record: LoggedRecord, *, is_lost: bool) -> None:
    label = record.label
    log.offsets.append(record.offset)
    if is_lost:
        log.start_lost |= len(log.offsets) == 1
        return
    log.sound.append((label.start, label.end))
    if label.note == "flush":
        log.flushes.append(label.end)


def _link(logs: Iterable[StreamLog]) -> None:
    following: dict[str, list[StreamLog]] = {}  # by stream id
    for log in sorted(logs, key=lambda log: log.stream.number, reverse=True):
        log.following = following.get(log.stream.stream_id, [])
        following[log.stream.stream_id] = [log, *log.following] if log.start_lost else []


def _lost(events: Sequence[LoggedEvent]) -> defaultdict[str, list[DeletedRange]]:
    """Return what loss events name, by stream id."""
    lost: defaultdict[str, list[DeletedRange]] = defaultdict(list)
    for each in events:
        if isinstance(event := each.event, StreamLoss):
            named = DeletedRange(each.partition, event.first_offset, event.last_offset)
            lost[event.stream_id].append(named)
    return lost
