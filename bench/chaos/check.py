"""Whether the promise was kept: the invariants of docs/guarantees.md, held against the evidence.

Pure: records and events in, violations out. Positions are those that the *oracle* read in the audio
where it did, so that sound that was heard twice shows even where all names and numbers are right.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, pairwise, takewhile
from typing import Final, TypeAlias

from bench.chaos import oracle
from bench.chaos.evidence import Evidence, Said, Seen, said
from bench.chaos.hidden_counters import BLOCK, Piece
from bench.chaos.spans import Span, merged, overlaps, without
from bench.chaos.takes import Kind, Style
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

TOLERANCE: Final = (
    WHISPER_RATE * 4 // 10
)  # samples: a cut elsewhere may make a click of a word's end
_NAMELESS: Final = 2 * BLOCK  # samples that may hold no whole code

SessionId: TypeAlias = tuple[str, str]  # stream, session
Utterance: TypeAlias = TranscriptFinal | UtteranceFailed


class Invariant(StrEnum):
    UNIQUE = "I1 unique"
    ORDER = "I2 gapless and in order"
    COMPLETE = "I3 no overlap, nothing spoken left out"
    ACCOUNTED = "I4 every record accounted for"
    TEXT = "I5 text is of the audio it names"
    STABLE = "I6 readers agree"
    DRAINED = "I7 nothing is left"


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: Invariant
    told: str  # what, and where


@dataclass(slots=True)
class Verdict:
    violations: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # of what was checked

    def of(self, invariant: Invariant) -> list[Violation]:
        return [each for each in self.violations if each.invariant is invariant]


def check(evidence: Evidence) -> Verdict:
    takes = said(evidence.plans, evidence.sent, evidence.seen, evidence.deleted)
    sessions = _sessions(evidence.seen)
    found: dict[Invariant, Iterable[str]] = {
        Invariant.UNIQUE: _unique(evidence.seen),
        Invariant.ORDER: _order(sessions, takes.values()),
        Invariant.COMPLETE: _complete(evidence, sessions, takes),
        Invariant.ACCOUNTED: _accounted(evidence),
        Invariant.TEXT: _texts(sessions, takes.values()) if evidence.names_samples else (),
        Invariant.STABLE: _stable(evidence.seen, evidence.again),
        Invariant.DRAINED: _drained(evidence),
    }
    violations = [Violation(which, told) for which, all_ in found.items() for told in all_]
    return Verdict(violations, _counts(evidence, takes.values()))


def _sessions(seen: Iterable[Seen]) -> dict[SessionId, list[AnyEvent]]:
    """Events in the order of the log."""
    sessions: defaultdict[SessionId, list[AnyEvent]] = defaultdict(list)
    for each in sorted(seen, key=lambda each: (each.partition, each.offset)):
        sessions[each.event.stream_id, each.event.session_id].append(each.event)
    return dict(sessions)


def _by_session(takes: Iterable[Said]) -> dict[SessionId, Said]:
    return {name: take for take in takes for name in take.sessions()}


def _run_on(takes: Iterable[Said]) -> dict[SessionId, list[Said]]:
    """Takes whose sound a session may hold besides its own: those behind it that lost their start.

    Nobody who reads the log can know that another take began.
    """
    found: dict[SessionId, list[Said]] = {}
    of_stream: defaultdict[str, list[Said]] = defaultdict(list)
    for take in sorted(takes, key=lambda take: take.plan.number):
        of_stream[take.plan.stream_id].append(take)
    for row in of_stream.values():
        for at, take in enumerate(row):
            behind = list(takewhile(lambda later: later.headless, row[at + 1 :]))
            found |= dict.fromkeys(take.sessions(), behind)
    return found


def _utterances(events: Iterable[AnyEvent]) -> list[Utterance]:
    return [event for event in events if isinstance(event, TranscriptFinal | UtteranceFailed)]


# --- I1, I2: names and numbers


def _unique(seen: Iterable[Seen]) -> Iterator[str]:
    times = Counter(each.event.id for each in seen)
    yield from (f"{id_} came {count} times" for id_, count in times.items() if count > 1)


def _order(sessions: dict[SessionId, list[AnyEvent]], takes: Iterable[Said]) -> Iterator[str]:
    possible = _by_session(takes)
    expected = {name for name, take in possible.items() if not take.damaged}
    yield from (f"{'/'.join(name)}: nobody began it" for name in sessions.keys() - possible.keys())
    yield from (f"{'/'.join(name)}: is missing" for name in expected - sessions.keys())
    for name, events in sessions.items():
        take = possible.get(name)
        told = _disorder(events, is_endless=take is not None and take.endless)
        yield from (f"{'/'.join(name)}: {problem}" for problem in told)


def _disorder(events: Sequence[AnyEvent], *, is_endless: bool) -> Iterator[str]:
    numbers = [utterance.utterance for utterance in _utterances(events)]
    if numbers != [*range(len(numbers))]:
        yield f"utterances are {_shortened(numbers)}"
    kinds = [type(event) for event in events]
    if kinds.count(StreamStarted) != 1 or kinds[0] is not StreamStarted:
        yield "does not begin with one stream.started"
    if is_endless and StreamEnded not in kinds:
        return
    if kinds.count(StreamEnded) != 1 or not isinstance(last := events[-1], StreamEnded):
        yield "does not end with one stream.ended"
    elif last.utterances != len(numbers):
        yield f"stream.ended tells of {last.utterances} utterances, there are {len(numbers)}"


def _shortened(numbers: Sequence[int]) -> str:
    wrong = next((at for at, number in enumerate(numbers) if at != number), 0)
    return f"... {', '.join(map(str, numbers[max(0, wrong - 2) : wrong + 4]))} ..."


# --- I3: positions


def _complete(
    evidence: Evidence, sessions: dict[SessionId, list[AnyEvent]], takes: dict[int, Said]
) -> Iterator[str]:
    by_session, more = _by_session(takes.values()), _run_on(takes.values())
    heard: defaultdict[int, list[Span]] = defaultdict(list)
    for name, events in sessions.items():
        take = by_session.get(name)
        yield from (
            f"{'/'.join(name)}: {problem}" for problem in _misplaced(events, take, more.get(name))
        )
        for piece in _heard(events, take, names_samples=evidence.names_samples):
            heard[piece.take].append((piece.start, piece.end))
    for number, take in takes.items():
        where = f"{'/'.join(take.sessions()[0])}, take {number}"
        told = _coverage(heard[number], take, evidence.spoken.get(number, ()))
        yield from (f"{where}: {problem}" for problem in told)


def _misplaced(
    events: Sequence[AnyEvent], take: Said | None, more: Sequence[Said] | None
) -> Iterator[str]:
    """Utterances and gaps that overlap or go back, and gaps that nobody made."""
    placed = [
        (event.start_sample, event.end_sample)
        for event in events
        if isinstance(event, TranscriptFinal | UtteranceFailed | StreamGap)
    ]
    for (_, before), (start, end) in pairwise(placed):
        if start < before:
            yield f"samples {start}-{end} come after {before}"
    if take is None or take.damaged or more:
        return
    gaps = [(e.start_sample, e.end_sample) for e in events if isinstance(e, StreamGap)]
    yield from (f"a gap of {_told(s)} that nobody made" for s in without(gaps, take.missing))
    yield from (f"a gap of {_told(s)} is not told" for s in without(take.missing, gaps))


def _heard(
    events: Sequence[AnyEvent], take: Said | None, *, names_samples: bool
) -> Iterator[Piece]:
    for event in _utterances(events):
        if names_samples and isinstance(event, TranscriptFinal):
            yield from oracle.read(event.text)
        elif take is not None:
            yield Piece(take.plan.number, event.start_sample, event.end_sample)


def _coverage(heard: Sequence[Span], take: Said, speech: Sequence[Span]) -> Iterator[str]:
    yield from (f"{_told(span)} was heard twice" for span in overlaps(heard))
    said_speech = without(speech, take.missing)
    for span in without(said_speech, heard):
        if span[1] - span[0] > TOLERANCE:
            yield f"{_told(span)} was spoken and is left out"


def _told(span: Span) -> str:
    start, end = span
    return (
        f"{start}-{end} ({start / WHISPER_RATE:.2f} s, {(end - start) / WHISPER_RATE:.2f} s long)"
    )


# --- I4: records


def _accounted(evidence: Evidence) -> Iterator[str]:
    records = [each for each in evidence.dead if each.reason != Reason.UNDECODABLE]
    yield from _failures(evidence, len(evidence.dead) - len(records))
    letters = Counter((each.partition, each.offset) for each in records)
    reasons = {(each.partition, each.offset): each.reason for each in records}
    bad = {(s.partition, s.offset): s for s in evidence.sent if s.label.kind is Kind.BAD}
    for place, record in bad.items():
        if not letters[place] and any(each.holds(record) for each in evidence.deleted):
            continue
        if letters[place] != 1 or reasons[place] != record.label.note:
            told = f"{letters[place]} dead letters, {reasons.get(place)}"
            yield f"{place}: {told} for {record.label.note}"
    yield from (f"{place}: a dead letter of a good record" for place in letters.keys() - bad.keys())
    for partition, standing in evidence.standings.items():
        if standing.outcomes is not None:
            yield from _miscounted(evidence, partition, standing.outcomes)


def _failures(evidence: Evidence, letters: int) -> Iterator[str]:
    """Utterances without a text: those with poison in them, each dead-lettered."""
    failed = [e.event for e in evidence.seen if isinstance(e.event, UtteranceFailed)]
    if len(failed) != letters:
        yield f"{len(failed)} utterances failed, {letters} are in the dead-letter topic"
    poisoned = {plan.stream_id for plan in evidence.plans.values() if plan.poisoned}
    for event in failed:
        if event.stream_id not in poisoned:
            yield f"{event.id} failed, and nothing was wrong with it: {event.reason}"


def _miscounted(evidence: Evidence, partition: int, counted: Mapping[str, int]) -> Iterator[str]:
    sent = [each for each in evidence.sent if each.partition == partition]
    kinds = Counter(each.label.kind for each in sent)
    expected = {
        "accepted": kinds[Kind.SOUND] + kinds[Kind.END],
        "duplicate": kinds[Kind.REPEAT],
        "dead_letter": kinds[Kind.BAD],
    }
    gone = sum(any(each.holds(record) for each in evidence.deleted) for record in sent)
    if gone:
        right = len(sent) - gone <= sum(counted.values()) <= len(sent)
    else:
        right = {name: counted.get(name, 0) for name in expected} == expected
    if not right:
        yield f"partition {partition}: counted {dict(counted)}, sent {expected}, deleted {gone}"


# --- I5: texts


def _texts(sessions: dict[SessionId, list[AnyEvent]], takes: Iterable[Said]) -> Iterator[str]:
    by_session, more = _by_session(takes), _run_on(takes)
    for name, events in sessions.items():
        possible = [by_session.get(name), *more.get(name, ())]
        for event in events:
            if isinstance(event, TranscriptFinal) and not any(
                _is_right(event, take) for take in possible
            ):
                where = f"{event.start_sample}-{event.end_sample}"
                yield f"{event.id} is of {where}, its text says {event.text!r}"


def _is_right(event: TranscriptFinal, take: Said | None) -> bool:
    pieces = oracle.read(event.text)
    length = event.end_sample - event.start_sample
    if take is None or not pieces:
        return take is None or length < _NAMELESS
    if (
        take.damaged and take.plan.style is not Style.SEQ_START
    ):  # its own count of samples is all it has
        return len(pieces) == 1 and pieces[0].end - pieces[0].start == length
    return pieces == [Piece(take.plan.number, event.start_sample, event.end_sample)]


# --- I6, I7: the end


def _stable(seen: Sequence[Seen], again: Sequence[Seen]) -> Iterator[str]:
    one, two = ({(e.partition, e.offset): e.event for e in each} for each in (seen, again))
    for place in sorted(one.keys() | two.keys()):
        if one.get(place) != two.get(place):
            what = (one.get(place) or two[place]).id
            yield f"{place}: {what} looks otherwise to a reader at the end"


def _drained(evidence: Evidence) -> Iterator[str]:
    for partition, standing in evidence.standings.items():
        stands = {standing.resume_offset, standing.log_end}
        stands |= set() if standing.next_offset is None else {standing.next_offset}
        if len(stands) > 1:
            yield f"partition {partition}: {standing}"


def _counts(evidence: Evidence, takes: Iterable[Said]) -> Counter[str]:
    kinds = Counter(f"records {each.label.kind}" for each in evidence.sent)
    events = Counter(type(each.event).TYPE for each in evidence.seen)
    audio = sum(e - s for take in takes for s, e in merged(take.sound)) // WHISPER_RATE
    speech = sum(e - s for s, e in chain.from_iterable(evidence.spoken.values())) // WHISPER_RATE
    return Counter({"audio s": audio, "speech s": speech}) + kinds + events
