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
    standings: Mapping[int, Standing]  # by partition
    spoken: Mapping[int, Sequence[Span]]  # speech of each take
    names_samples: bool  # the engine is the oracle


@dataclass(slots=True)
class Said:
    """What the log has of one take."""

    plan: Plan
    partition: int
    first_offset: int  # of its sound
    sound: list[Span] = field(default_factory=list)
    flushes: list[int] = field(default_factory=list)  # samples
    lost: bool = False  # some of it was deleted before it was read

    @property
    def session_id(self) -> str:
        return f"{self.partition}-{self.first_offset}"

    @property
    def missing(self) -> list[Span]:
        """Never in the log, though later sound is."""
        return without([(0, max(end for _, end in self.sound))], self.sound)

    def stretches(self) -> list[Span]:
        """Sound without a hole, cut where the publisher asked for it."""
        cuts = sorted(self.flushes)
        parts: list[Span] = []
        for start, end in merged(self.sound):
            edges = [start, *(cut for cut in cuts if start < cut < end), end]
            parts += pairwise(edges)
        return parts


def said(plans: Mapping[int, Plan], sent: Sequence[Sent], seen: Sequence[Seen]) -> dict[int, Said]:
    """By take. What a loss event tells of is as if it had never been sent."""
    gone = _lost(seen)
    found: dict[int, Said] = {}
    damaged = set()
    for record in sorted(sent, key=lambda record: (record.partition, record.offset)):
        label = record.label
        if label.kind is not Kind.SOUND:
            continue
        if any(low <= record.offset <= high for low, high in gone[record.partition]):
            damaged.add(label.take)
            continue
        take = found.setdefault(
            label.take, Said(plans[label.take], record.partition, record.offset)
        )
        take.sound.append((label.start, label.end))
        if label.note == "flush":
            take.flushes.append(label.end)
    for number in damaged & found.keys():
        found[number].lost = True
    return found


def _lost(seen: Sequence[Seen]) -> defaultdict[int, list[Span]]:
    """First and last offset of what was deleted, by partition."""
    lost: defaultdict[int, list[Span]] = defaultdict(list)
    for each in seen:
        if isinstance(each.event, StreamLoss):
            lost[each.partition].append((each.event.first_offset, each.event.last_offset))
    return lost
