"""What a run leaves behind, and what it should have: the checker's material. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.chaos.spans import Span, merged, without
from bench.chaos.takes import Kind, Label, Plan
from schemas.transcript import AnyEvent, StreamLoss


@dataclass(frozen=True, slots=True)
class Sent:
    """A record of the audio topic, as the log has it."""

    partition: int
    offset: int
    at_s: float  # when a reader that ran all along saw it; monotonic
    label: Label


@dataclass(frozen=True, slots=True)
class Seen:
    """An event of the transcripts topic, as a read_committed reader saw it."""

    partition: int
    offset: int
    at_s: float  # monotonic
    event: AnyEvent


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead letter."""

    partition: int
    offset: int  # of the record that it was
    reason: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """Records that Kafka deleted, perhaps before they were read."""

    partition: int
    first_offset: int
    last_offset: int

    def holds(self, record: Sent) -> bool:
        inside = self.first_offset <= record.offset <= self.last_offset
        return inside and record.partition == self.partition


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a partition has come, as the service says, once all is drained."""

    next_offset: int | None  # N; None: not told
    resume_offset: int  # R
    log_end: int
    outcomes: Mapping[str, int] | None = None  # records by outcome, since the beginning


@dataclass(frozen=True, slots=True)
class Evidence:
    plans: Mapping[int, Plan]  # by number of the take
    sent: Sequence[Sent]
    seen: Sequence[Seen]  # by the reader that ran all along
    again: Sequence[Seen]  # by one that read all at the end
    dead: Sequence[Dead]
    deleted: Sequence[Deleted]
    standings: Mapping[int, Standing]  # by partition
    spoken: Mapping[int, Sequence[Span]]  # speech of each take
    names_samples: bool  # the engine is the oracle


@dataclass(slots=True)
class Said:
    """What the log has of one take."""

    plan: Plan
    partition: int
    sound: list[Span] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)  # of records with sound, deleted ones too
    flushes: list[int] = field(default_factory=list)  # samples
    damaged: bool = False  # some of it was deleted
    endless: bool = False  # the record was that says that the session is over
    headless: bool = False  # its first record was, which says that another session begins

    def sessions(self) -> list[tuple[str, str]]:
        """Stream and session that it may have; a damaged one may have begun anywhere."""
        begun = self.offsets if self.damaged else self.offsets[:1]
        return [(self.plan.stream_id, f"{self.partition}-{offset}") for offset in begun]

    @property
    def missing(self) -> list[Span]:
        """Never in the log, though later sound is."""
        return without([(0, max((end for _, end in self.sound), default=0))], self.sound)

    def stretches(self) -> list[Span]:
        """Sound without a hole, cut where the publisher asked for it."""
        cuts = sorted(self.flushes)
        parts: list[Span] = []
        for start, end in merged(self.sound):
            edges = [start, *(cut for cut in cuts if start < cut < end), end]
            parts += pairwise(edges)
        return parts


def said(
    plans: Mapping[int, Plan],
    sent: Sequence[Sent],
    seen: Sequence[Seen],
    deleted: Sequence[Deleted] = (),
) -> dict[int, Said]:
    """By take. What was deleted in time, or is told to be lost, is as if it had never been sent."""
    lost = _lost(seen)
    found: dict[int, Said] = {}
    for record in sorted(sent, key=lambda record: (record.partition, record.offset)):
        label = record.label
        if label.kind not in (Kind.SOUND, Kind.END):
            continue
        plan = plans[label.take]
        is_gone = any(each.holds(record) for each in (*deleted, *lost[plan.stream_id]))
        if label.kind is Kind.END:
            found[label.take].endless = is_gone
            continue
        take = found.setdefault(label.take, Said(plan, record.partition))
        take.offsets.append(record.offset)
        if is_gone:
            take.damaged = True
            take.headless |= len(take.offsets) == 1
            continue
        take.sound.append((label.start, label.end))
        if label.note == "flush":
            take.flushes.append(label.end)
    return found


def _lost(seen: Sequence[Seen]) -> defaultdict[str, list[Deleted]]:
    """What loss events tell of, by stream."""
    lost: defaultdict[str, list[Deleted]] = defaultdict(list)
    for each in seen:
        if isinstance(event := each.event, StreamLoss):
            told = Deleted(each.partition, event.first_offset, event.last_offset)
            lost[event.stream_id].append(told)
    return lost
