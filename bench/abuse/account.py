"""What two runs left behind, one of them under abuse, held against each other. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from bench.chaos import oracle
from bench.chaos.evidence import Dead, Seen, Sent, Standing
from bench.chaos.takes import Kind
from consumer.core.partition.stream_admission import REJECTION_REASONS as TURNED_AWAY
from evaluation.report import Check, Figures, Sense
from schemas.errors import Reason
from schemas.transcript import TranscriptFinal

MEMORY_MB: Final = 200.0  # that abuse may cost a worker
THROUGHPUT: Final = 0.7  # of right streams under abuse, times without it

Heard: TypeAlias = tuple[object, ...]  # what a final says, but for words that differ by chance


@dataclass(frozen=True, slots=True)
class Run:
    """What one run left behind."""

    sent: Sequence[Sent]
    seen: Sequence[Seen]
    dead: Sequence[Dead]
    standings: Mapping[int, Standing]  # by partition
    valid: frozenset[str]  # ids of right streams
    began_s: float  # monotonic
    peak_mb: float  # of the worker that took the most
    restarts: int
    failures: int  # records that Kafka did not take

    @property
    def outcomes(self) -> Counter[str]:
        """Records by what became of them."""
        counts: Counter[str] = Counter()
        for standing in self.standings.values():
            counts.update(standing.outcomes or {})
        return counts

    @property
    def published(self) -> int:
        return sum(standing.log_end for standing in self.standings.values())

    @property
    def finals(self) -> list[Seen]:
        """Of right streams, in the order of the log."""
        found = [e for e in self.seen if isinstance(e.event, TranscriptFinal)]
        mine = [each for each in found if each.event.stream_id in self.valid]
        return sorted(mine, key=lambda each: (each.partition, each.offset))

    @property
    def seconds(self) -> float:
        """Until the last final of a right stream was out."""
        return max((each.at_s for each in self.finals), default=self.began_s) - self.began_s

    @property
    def audio_s(self) -> float:
        """Transcribed, of right streams."""
        finals = (each.event for each in self.finals)
        return sum(f.end_s - f.start_s for f in finals if isinstance(f, TranscriptFinal))

    @property
    def speed(self) -> float:
        """Seconds of right streams' speech transcribed a second."""
        return self.audio_s / self.seconds if self.seconds else 0.0


def heard(run: Run) -> dict[str, list[Heard]]:
    """By stream. Sessions are named by offsets, which differ; what they say must not."""
    told: defaultdict[str, list[Heard]] = defaultdict(list)
    for each in run.finals:
        event = each.event
        assert isinstance(event, TranscriptFinal)
        place = event.utterance, event.start_sample, event.end_sample, event.end_reason
        told[event.stream_id].append((*place, *oracle.read(event.text)))
    return dict(told)


def different(clean: Run, abused: Run) -> int:
    """Finals of right streams that only one of the runs has."""
    one, two = heard(clean), heard(abused)
    return sum(
        (Counter(one.get(name, [])) - Counter(two.get(name, []))).total()
        + (Counter(two.get(name, [])) - Counter(one.get(name, []))).total()
        for name in one.keys() | two.keys()
    )


def unaccounted(run: Run) -> int:
    """Records that were published and have no outcome, or more than one."""
    return abs(run.published - run.outcomes.total())


def letters(run: Run) -> list[Dead]:
    """Of records; utterances that nobody could decode come besides."""
    return [each for each in run.dead if each.reason != Reason.UNDECODABLE]


def unlettered(run: Run) -> int:
    """Dead letters that are counted and not there, or there and not counted, or twice."""
    places = Counter((each.partition, each.offset) for each in letters(run))
    counted = run.outcomes["dead_letter"]
    return abs(counted - len(places)) + places.total() - len(places)


def misjudged(run: Run) -> Iterator[str]:
    """Records refused for another reason than the one they were made for, and right ones refused.

    Turned away for the caps' sake a record is not looked into.
    """
    reasons = {(each.partition, each.offset): each.reason for each in letters(run)}
    for record in run.sent:
        found = reasons.get((record.partition, record.offset))
        expected = record.label.note if record.label.kind is Kind.HOSTILE else ""
        if record.label.kind is not Kind.HOSTILE and found is not None:
            yield f"a right record at {record.partition}/{record.offset} is refused: {found}"
        elif found is not None and expected and found not in {expected, *TURNED_AWAY}:
            yield f"{record.partition}/{record.offset} is refused for {found}, not {expected}"


def checks(clean: Run, abused: Run) -> Iterator[Check]:
    yield Check("records without exactly one outcome", unaccounted(abused), 0)
    yield Check("dead letters that do not agree with the count", unlettered(abused), 0)
    yield Check("records misjudged", sum(1 for _ in misjudged(abused)), 0)
    yield Check("records that Kafka did not take", clean.failures + abused.failures, 0)
    yield Check("partitions not read to their end", _behind((clean, abused)), 0)
    yield Check("finals of right streams that differ", different(clean, abused), 0)
    yield Check("finals of right streams", len(clean.finals), 1, Sense.AT_LEAST)
    yield Check("worker restarts", clean.restarts + abused.restarts, 0)
    yield Check("memory above the clean run MB", abused.peak_mb - clean.peak_mb, MEMORY_MB)
    ratio = abused.speed / clean.speed if clean.speed else 0.0
    yield Check("throughput of right streams, of clean", ratio, THROUGHPUT, Sense.AT_LEAST)


def _behind(runs: Iterable[Run]) -> int:
    stands = [standing for run in runs for standing in run.standings.values()]
    return sum(not s.next_offset == s.resume_offset == s.log_end for s in stands)


def figures(clean: Run, abused: Run) -> Figures:
    kinds = Counter(each.label.kind for each in abused.sent)
    reasons = Counter(each.reason for each in abused.dead)
    return {
        "published": abused.published,
        "hostile": kinds[Kind.HOSTILE],
        **{f"outcome {name}": count for name, count in sorted(abused.outcomes.items())},
        **{f"refused for {name}": count for name, count in sorted(reasons.items())},
        "finals of right streams": len(abused.finals),
        "clean peak MB": round(clean.peak_mb, 1),
        "abused peak MB": round(abused.peak_mb, 1),
        "clean s": round(clean.seconds, 1),
        "abused s": round(abused.seconds, 1),
    }
