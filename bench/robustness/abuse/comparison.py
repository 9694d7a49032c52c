"""Two runs compared, one of them with hostile records among the others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.robustness.chaos import oracle
from bench.robustness.chaos.evidence import (
    LoggedDeadLetter,
    LoggedEvent,
    LoggedRecord,
    PartitionProgress,
)
from bench.robustness.chaos.test_streams import RecordKind
from bench.robustness.stage_faults import FaultStage
from consumer.core.partition.stream_admission import REJECTION_REASONS
from evaluation.report import Check, Figures, Sense
from schemas.errors import Reason
from schemas.transcript import TranscriptFinal

MEMORY_MB: Final = 200.0  # that hostile records may cost a worker
THROUGHPUT: Final = 0.7  # of right streams among hostile records, in parts of that without
_WITHOUT_LETTER: Final = {FaultStage.DETECTION, FaultStage.PARTIAL}  # the stream goes on without it


@dataclass(frozen=True, slots=True)
class AbuseRun:
    """What one run leaves behind."""

    records: Sequence[LoggedRecord]
    events: Sequence[LoggedEvent]
    dead_letters: Sequence[LoggedDeadLetter]
    progress: Mapping[int, PartitionProgress]  # by partition
    right_ids: frozenset[str]  # of streams that keep the rules
    began_s: float  # monotonic
    peak_mb: float  # of the worker that took the most
    restarts: int
    failures: int  # records that Kafka refused

    @property
    def outcomes(self) -> Counter[str]:
        """Records by outcome."""
        counts: Counter[str] = Counter()
        for progress in self.progress.values():
            counts.update(progress.outcomes or {})
        return counts

    @property
    def published(self) -> int:
        return sum(progress.log_end for progress in self.progress.values())

    @property
    def finals(self) -> list[tuple[float, TranscriptFinal]]:
        """The finals of right streams in log order, and when each was received."""
        in_order = sorted(self.events, key=lambda each: (each.partition, each.offset))
        finals = [(e.at_s, e.event) for e in in_order if isinstance(e.event, TranscriptFinal)]
        return [(at_s, final) for at_s, final in finals if final.stream_id in self.right_ids]

    @property
    def seconds(self) -> float:
        """Time until the last final of a right stream."""
        return max((at_s for at_s, _ in self.finals), default=self.began_s) - self.began_s

    @property
    def speed(self) -> float:
        """Seconds of right streams' utterances that were transcribed a second."""
        audio_s = sum(final.end_s - final.start_s for _, final in self.finals)
        return audio_s / self.seconds if self.seconds else 0.0

    @property
    def letters(self) -> list[LoggedDeadLetter]:
        """Dead letters of records; those of utterances that no try could decode are left out."""
        return [each for each in self.dead_letters if each.reason != Reason.UNDECODABLE]


def different_finals(clean: AbuseRun, abused: AbuseRun) -> int:
    """Return the number of finals of right streams that only one of the runs has."""
    one, two = (Counter(_content(final) for _, final in run.finals) for run in (clean, abused))
    return ((one - two) + (two - one)).total()


def _content(final: TranscriptFinal) -> tuple[object, ...]:
    """Return all but the words, which differ by chance, and the session id: it holds an offset."""
    place = final.stream_id, final.utterance, final.start_sample, final.end_sample
    return (*place, final.end_reason, *oracle.read(final.text))


def unaccounted(run: AbuseRun) -> int:
    """Return the number of records without an outcome, or with more than one."""
    return abs(run.published - run.outcomes.total())


def miscounted_letters(run: AbuseRun) -> int:
    """Return the number of dead letters that are counted and missing, not counted, or repeated."""
    places = Counter(each.place for each in run.letters)
    return abs(run.outcomes["dead_letter"] - len(places)) + places.total() - len(places)


def misjudged(run: AbuseRun) -> Iterator[str]:
    """Yield right records that were dead-lettered, and hostile ones that were for a wrong reason.

    A record of a stream that was rejected for a limit is not examined.
    """
    reasons = {each.place: each.reason for each in run.letters}
    for record in run.records:
        if (found := reasons.get(record.place)) is None or record.label.kind is RecordKind.FAULT:
            continue
        place, expected = f"{record.partition}/{record.offset}", record.label.note
        if record.label.kind is not RecordKind.HOSTILE:
            yield f"a right record at {place} is refused: {found}"
        elif expected and found not in {expected, *REJECTION_REASONS}:
            yield f"{place} is refused for {found}, not {expected}"


def uncontained(run: AbuseRun) -> int:
    """Return the number of stages that raised for a stream, of which no dead letter exists."""
    letters = {each.place for each in run.dead_letters}
    raised, contained = set(), set()
    for record in run.records:
        if record.label.kind is RecordKind.FAULT and record.label.note not in _WITHOUT_LETTER:
            raised.add(record.label.note)
            if record.place in letters:
                contained.add(record.label.note)
    return len(raised - contained)


def abuse_checks(clean: AbuseRun, abused: AbuseRun) -> Iterator[Check]:
    partitions = [*clean.progress.values(), *abused.progress.values()]
    yield Check("records without exactly one outcome", unaccounted(abused), 0)
    yield Check("dead letters that do not agree with the count", miscounted_letters(abused), 0)
    yield Check("records misjudged", sum(1 for _ in misjudged(abused)), 0)
    yield Check("stages with a fault and without a dead letter", uncontained(abused), 0)
    yield Check("records that Kafka did not take", clean.failures + abused.failures, 0)
    unread = sum(not each.is_drained for each in partitions)
    yield Check("partitions not read to their end", unread, 0)
    yield Check("finals of right streams that differ", different_finals(clean, abused), 0)
    yield Check("finals of right streams", len(clean.finals), 1, Sense.AT_LEAST)
    yield Check("worker restarts", clean.restarts + abused.restarts, 0)
    yield Check("memory above the clean run MB", abused.peak_mb - clean.peak_mb, MEMORY_MB)
    ratio = abused.speed / clean.speed if clean.speed else 0.0
    yield Check("throughput of right streams, of clean", ratio, THROUGHPUT, Sense.AT_LEAST)


def abuse_figures(clean: AbuseRun, abused: AbuseRun) -> Figures:
    kinds = Counter(each.label.kind for each in abused.records)
    reasons = Counter(each.reason for each in abused.dead_letters)
    return {
        "published": abused.published,
        "hostile": kinds[RecordKind.HOSTILE] + kinds[RecordKind.FAULT],
        "of streams with a fault": kinds[RecordKind.FAULT],
        **{f"outcome {name}": count for name, count in sorted(abused.outcomes.items())},
        **{f"refused for {name}": count for name, count in sorted(reasons.items())},
        "finals of right streams": len(abused.finals),
        "clean peak MB": round(clean.peak_mb, 1),
        "abused peak MB": round(abused.peak_mb, 1),
        "clean s": round(clean.seconds, 1),
        "abused s": round(abused.seconds, 1),
    }
