"""The invariants of docs/guarantees.md, checked on the evidence of a run.

Pure: records and events in, violations out. Positions are those that the *oracle* found in the
audio where it did, so that sound that was transcribed twice shows even where all names and numbers
are right.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, pairwise
from typing import Final, TypeAlias

from bench.robustness.chaos import oracle
from bench.robustness.chaos.evidence import LoggedEvent, RunEvidence, StreamLog, stream_logs
from bench.robustness.chaos.hidden_counters import BLOCK, Piece
from bench.robustness.chaos.spans import Span, merged, overlaps, without
from bench.robustness.chaos.test_streams import OrderHeaders, RecordKind
from consumer.core.audio.utterance import WHISPER_RATE
from schemas.errors import Reason
from schemas.transcript import (
    AnyEvent,
    StreamEnded,
    StreamGap,
    StreamStarted,
    TranscriptFinal,
    UtteranceFailed,
)

# Samples: a detector that starts afresh at another cut may take the end of a word for a click.
TOLERANCE: Final = WHISPER_RATE * 4 // 10
_NAMELESS: Final = 2 * BLOCK  # samples that may hold no whole code

SessionId: TypeAlias = tuple[str, str]  # stream, session
Ended: TypeAlias = TranscriptFinal | UtteranceFailed


class Invariant(StrEnum):
    UNIQUE = "I1 unique"
    ORDER = "I2 gapless and in order"
    COMPLETE = "I3 no overlap, nothing spoken left out"
    ACCOUNTED = "I4 every record accounted for"
    TEXT = "I5 text is of the audio it names"
    STABLE = "I6 readers agree"
    DRAINED = "I7 nothing is left"


@dataclass(slots=True)
class RunVerdict:
    """The violations of each invariant, and what was checked."""

    violations: dict[Invariant, list[str]]
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        return not any(self.violations.values())


@dataclass(frozen=True, slots=True)
class _SessionLog:
    """The events of one session, in log order, and the test stream that began it."""

    name: str
    events: Sequence[AnyEvent]
    log: StreamLog | None  # None: of no test stream

    @property
    def utterances(self) -> list[Ended]:
        return [e for e in self.events if isinstance(e, TranscriptFinal | UtteranceFailed)]


def check(evidence: RunEvidence) -> RunVerdict:
    """Check all invariants."""
    logs = stream_logs(evidence.streams, evidence.records, evidence.events, evidence.deleted)
    sessions = _sessions(evidence.events, logs.values())
    found: dict[Invariant, Iterable[str]] = {
        Invariant.UNIQUE: _unique(evidence.events),
        Invariant.ORDER: _order(sessions, logs.values()),
        Invariant.COMPLETE: _complete(evidence, sessions.values(), logs),
        Invariant.ACCOUNTED: _accounted(evidence),
        Invariant.TEXT: _texts(sessions.values()) if evidence.texts_name_samples else (),
        Invariant.STABLE: _stable(evidence.events, evidence.reread),
        Invariant.DRAINED: _drained(evidence),
    }
    violations = {invariant: list(lines) for invariant, lines in found.items()}
    return RunVerdict(violations, _counts(evidence, logs.values()))


def _sessions(
    events: Iterable[LoggedEvent], logs: Iterable[StreamLog]
) -> dict[SessionId, _SessionLog]:
    possible = _by_session(logs)
    in_order: defaultdict[SessionId, list[AnyEvent]] = defaultdict(list)
    for each in sorted(events, key=lambda each: each.place):
        in_order[each.event.stream_id, each.event.session_id].append(each.event)
    return {
        id_: _SessionLog("/".join(id_), of_session, possible.get(id_))
        for id_, of_session in in_order.items()
    }


def _by_session(logs: Iterable[StreamLog]) -> dict[SessionId, StreamLog]:
    return {id_: log for log in logs for id_ in log.sessions()}


# --- I1, I2: names and numbers


def _unique(events: Iterable[LoggedEvent]) -> Iterator[str]:
    times = Counter(each.event.id for each in events)
    yield from (f"{id_} came {count} times" for id_, count in times.items() if count > 1)


def _order(sessions: Mapping[SessionId, _SessionLog], logs: Iterable[StreamLog]) -> Iterator[str]:
    possible = _by_session(logs)
    expected = {id_ for id_, log in possible.items() if not log.damaged}
    unknown, absent = sessions.keys() - possible.keys(), expected - sessions.keys()
    yield from (f"{'/'.join(id_)}: of no published stream" for id_ in unknown)
    yield from (f"{'/'.join(id_)}: is missing" for id_ in absent)
    for session in sessions.values():
        yield from (f"{session.name}: {problem}" for problem in _disorder(session))


def _disorder(session: _SessionLog) -> Iterator[str]:
    numbers = [utterance.utterance for utterance in session.utterances]
    if numbers != [*range(len(numbers))]:
        yield f"utterances are {_shortened(numbers)}"
    kinds = [type(event) for event in session.events]
    if kinds.count(StreamStarted) != 1 or kinds[0] is not StreamStarted:
        yield "does not begin with one stream.started"
    if session.log is not None and session.log.end_lost and StreamEnded not in kinds:
        return
    if kinds.count(StreamEnded) != 1 or not isinstance(last := session.events[-1], StreamEnded):
        yield "does not end with one stream.ended"
    elif last.utterances != len(numbers):
        yield f"stream.ended counts {last.utterances} utterances, there are {len(numbers)}"


def _shortened(numbers: Sequence[int]) -> str:
    wrong = next((at for at, number in enumerate(numbers) if at != number), 0)
    return f"... {', '.join(map(str, numbers[max(0, wrong - 2) : wrong + 4]))} ..."


# --- I3: positions


def _complete(
    evidence: RunEvidence, sessions: Iterable[_SessionLog], logs: Mapping[int, StreamLog]
) -> Iterator[str]:
    transcribed: defaultdict[int, list[Span]] = defaultdict(list)
    for session in sessions:
        yield from (f"{session.name}: {problem}" for problem in _misplaced(session))
        for piece in _transcribed(session, texts_name_samples=evidence.texts_name_samples):
            transcribed[piece.stream].append((piece.start, piece.end))
    for number, log in logs.items():
        name = f"{'/'.join(log.sessions()[0])}, stream {number}"
        problems = _coverage(transcribed[number], log, evidence.speech.get(number, ()))
        yield from (f"{name}: {problem}" for problem in problems)


def _misplaced(session: _SessionLog) -> Iterator[str]:
    """Yield utterances and gaps that overlap or go back, and gaps that are not in the log."""
    placed = [
        (event.start_sample, event.end_sample)
        for event in session.events
        if isinstance(event, TranscriptFinal | UtteranceFailed | StreamGap)
    ]
    for (_, before), (start, end) in pairwise(placed):
        if start < before:
            yield f"samples {start}-{end} come after {before}"
    log = session.log
    if log is None or log.damaged or log.following:
        return
    gaps = [(e.start_sample, e.end_sample) for e in session.events if isinstance(e, StreamGap)]
    yield from (f"a gap of {_range(s)} that was published" for s in without(gaps, log.missing))
    yield from (f"a gap of {_range(s)} has no event" for s in without(log.missing, gaps))


def _transcribed(session: _SessionLog, *, texts_name_samples: bool) -> Iterator[Piece]:
    for event in session.utterances:
        if texts_name_samples and isinstance(event, TranscriptFinal):
            yield from oracle.read(event.text)
        elif session.log is not None:
            yield Piece(session.log.stream.number, event.start_sample, event.end_sample)


def _coverage(transcribed: Sequence[Span], log: StreamLog, speech: Sequence[Span]) -> Iterator[str]:
    yield from (f"{_range(span)} was transcribed twice" for span in overlaps(transcribed))
    for span in without(without(speech, log.missing), transcribed):
        if span[1] - span[0] > TOLERANCE:
            yield f"{_range(span)} was spoken and is left out"


def _range(span: Span) -> str:
    start, end = span
    return (
        f"{start}-{end} ({start / WHISPER_RATE:.2f} s, {(end - start) / WHISPER_RATE:.2f} s long)"
    )


# --- I4: records


def _accounted(evidence: RunEvidence) -> Iterator[str]:
    records = [each for each in evidence.dead_letters if each.reason != Reason.UNDECODABLE]
    yield from _failures(evidence, len(evidence.dead_letters) - len(records))
    letters = Counter(each.place for each in records)
    reasons = {each.place: each.reason for each in records}
    bad = {r.place: r for r in evidence.records if r.label.kind is RecordKind.BAD}
    for place, record in bad.items():
        if not letters[place] and any(each.holds(record) for each in evidence.deleted):
            continue
        if letters[place] != 1 or reasons[place] != record.label.note:
            found = f"{letters[place]} dead letters, {reasons.get(place)}"
            yield f"{place}: {found} for {record.label.note}"
    yield from (f"{place}: a dead letter of a good record" for place in letters.keys() - bad.keys())
    for partition, progress in evidence.progress.items():
        if progress.outcomes is not None:
            yield from _miscounted(evidence, partition, progress.outcomes)


def _failures(evidence: RunEvidence, letters: int) -> Iterator[str]:
    """Yield failed utterances that hold no poison, or were not dead-lettered."""
    failed = [e.event for e in evidence.events if isinstance(e.event, UtteranceFailed)]
    if len(failed) != letters:
        yield f"{len(failed)} utterances failed, {letters} are in the dead-letter topic"
    poisoned = {stream.stream_id for stream in evidence.streams.values() if stream.poisoned}
    for event in failed:
        if event.stream_id not in poisoned:
            yield f"{event.id} failed without poison: {event.reason}"


def _miscounted(evidence: RunEvidence, partition: int, counted: Mapping[str, int]) -> Iterator[str]:
    records = [each for each in evidence.records if each.partition == partition]
    kinds = Counter(each.label.kind for each in records)
    expected = {
        "accepted": kinds[RecordKind.SOUND] + kinds[RecordKind.END],
        "duplicate": kinds[RecordKind.REPEAT],
        "dead_letter": kinds[RecordKind.BAD],
    }
    gone = sum(any(each.holds(record) for each in evidence.deleted) for record in records)
    if gone:
        right = len(records) - gone <= sum(counted.values()) <= len(records)
    else:
        right = {name: counted.get(name, 0) for name in expected} == expected
    if not right:
        yield f"partition {partition}: counted {dict(counted)}, sent {expected}, deleted {gone}"


# --- I5: texts


def _texts(sessions: Iterable[_SessionLog]) -> Iterator[str]:
    for session in sessions:
        for event in session.utterances:
            if isinstance(event, TranscriptFinal) and not _is_right(event, session.log):
                where = f"{event.start_sample}-{event.end_sample}"
                yield f"{event.id} is of {where}, its text is {event.text!r}"


def _is_right(event: TranscriptFinal, log: StreamLog | None) -> bool:
    return log is None or any(_is_of(event, each) for each in (log, *log.following))


def _is_of(event: TranscriptFinal, log: StreamLog) -> bool:
    pieces = oracle.read(event.text)
    length = event.end_sample - event.start_sample
    if not pieces:
        return length < _NAMELESS
    if log.damaged and log.stream.headers is not OrderHeaders.SEQ_START:
        # Its consumer counts the samples that it received, and no others.
        return len(pieces) == 1 and pieces[0].end - pieces[0].start == length
    return pieces == [Piece(log.stream.number, event.start_sample, event.end_sample)]


# --- I6, I7: the end


def _stable(events: Sequence[LoggedEvent], reread: Sequence[LoggedEvent]) -> Iterator[str]:
    one, two = ({e.place: e.event for e in each} for each in (events, reread))
    for place in sorted(one.keys() | two.keys()):
        if one.get(place) != two.get(place):
            name = (one.get(place) or two[place]).id
            yield f"{place}: {name} differs for a reader at the end"


def _drained(evidence: RunEvidence) -> Iterator[str]:
    for partition, progress in evidence.progress.items():
        offsets = {progress.next_offset, progress.resume_offset, progress.log_end} - {None}
        if len(offsets) > 1:
            yield f"partition {partition}: {progress}"


def _counts(evidence: RunEvidence, logs: Iterable[StreamLog]) -> Counter[str]:
    kinds = Counter(f"records {each.label.kind}" for each in evidence.records)
    events = Counter(type(each.event).TYPE for each in evidence.events)
    audio = sum(e - s for log in logs for s, e in merged(log.sound)) // WHISPER_RATE
    speech = sum(e - s for s, e in chain.from_iterable(evidence.speech.values())) // WHISPER_RATE
    return Counter({"audio s": audio, "speech s": speech}) + kinds + events
