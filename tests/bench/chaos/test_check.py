"""The checker can fail: every kind of wrong is shown to it, beside a run in which all is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from said_and_seen import (
    CHUNK,
    FINALS,
    PARTITION,
    PLAN,
    RIGHT,
    SPEECH,
    STARTED,
    TAKE,
    ended,
    event,
    evidence,
    final,
    seen,
    sent,
    sound,
)

from bench.chaos.check import Invariant, check
from bench.chaos.evidence import Dead, Deleted, Evidence, Seen, Sent, Standing
from bench.chaos.takes import Kind, Label
from schemas.errors import Reason
from schemas.transcript import AnyEvent, StreamGap, StreamLoss, UtteranceFailed


def broken(evidence: Evidence) -> dict[Invariant, list[str]]:
    verdict = check(evidence)
    found = {which: [each.told for each in verdict.of(which)] for which in Invariant}
    return {which: told for which, told in found.items() if told}


def only(evidence: Evidence, *which: Invariant) -> str:
    """Exactly these are broken; what is told of them."""
    found = broken(evidence)
    assert set(found) == set(which), found
    return "; ".join(told for all_ in found.values() for told in all_)


def test_what_is_right_passes_and_is_counted() -> None:
    verdict = check(evidence())
    assert verdict.violations == []
    assert verdict.counts["records sound"] == 10
    assert verdict.counts["speech.transcript.final"] == 3
    assert (verdict.counts["audio s"], verdict.counts["speech s"]) == (10, 6)


def test_a_lost_utterance() -> None:
    events = [STARTED, FINALS[0], final(1, 112_000, 152_000), ended(2)]
    told = only(evidence(events), Invariant.COMPLETE)
    assert told == "s/3-100, take 7: 60000-90000 (3.75 s, 1.88 s long) was spoken and is left out"


def test_a_lost_number() -> None:
    events = [STARTED, FINALS[0], FINALS[2], ended(3)]
    only(evidence(events), Invariant.COMPLETE, Invariant.ORDER)


def test_a_repeated_utterance() -> None:
    events = [STARTED, *FINALS[:2], FINALS[1], FINALS[2], ended(3)]
    told = only(evidence(events), Invariant.UNIQUE, Invariant.ORDER, Invariant.COMPLETE)
    assert "s/3-100/1 came 2 times" in told
    assert "56000-92000 (3.50 s, 2.25 s long) was heard twice" in told


def test_the_same_audio_under_another_session_is_heard_twice() -> None:
    again = replace(FINALS[2], session_id="3-106", utterance=0)
    told = only(evidence([*RIGHT, again]), Invariant.ORDER, Invariant.COMPLETE)
    assert "s/3-106: nobody began it" in told
    assert "was heard twice" in told


def test_an_overlap() -> None:
    events = [STARTED, FINALS[0], final(1, 41_999, 92_000), FINALS[2], ended(3)]
    told = only(evidence(events), Invariant.COMPLETE)
    assert "41999-42000" in told


def test_swapped_utterances() -> None:
    events = [STARTED, FINALS[1], FINALS[0], FINALS[2], ended(3)]
    only(evidence(events), Invariant.ORDER, Invariant.COMPLETE)


def test_a_text_of_other_audio() -> None:
    strange = final(1, 56_000, 92_000, text="so 7@56000-91000")
    told = only(evidence([STARTED, FINALS[0], strange, FINALS[2], ended(3)]), Invariant.TEXT)
    assert told == "s/3-100/1 is of 56000-92000, its text says 'so 7@56000-91000'"


def test_the_words_around_the_code_are_free() -> None:
    other = final(1, 56_000, 92_000, text="you know 7@56000-92000")
    assert broken(evidence([STARTED, FINALS[0], other, FINALS[2], ended(3)])) == {}


def test_whisper_is_believed_in_the_positions_of_its_events() -> None:
    events = [STARTED, *(replace(each, text="hello") for each in FINALS), ended(3)]
    assert broken(evidence(events, names_samples=False)) == {}
    lost = [STARTED, FINALS[0], final(1, 112_000, 152_000, text="hello"), ended(2)]
    only(evidence(lost, names_samples=False), Invariant.COMPLETE)


def test_a_session_that_never_came() -> None:
    told = only(evidence([]), Invariant.ORDER, Invariant.COMPLETE)
    assert "s/3-100: is missing" in told


@pytest.mark.parametrize(
    "events", [RIGHT[1:], RIGHT[:-1], [*RIGHT[:-1], ended(4)], [STARTED, *RIGHT]]
)
def test_a_session_without_its_frame(events: list[AnyEvent]) -> None:
    assert Invariant.ORDER in broken(evidence(events))


def gap(start: int, end: int) -> AnyEvent:
    more = {"start_sample": start, "end_sample": end, "rate": 16_000, "estimated": False}
    return event(StreamGap, 50, **more)


HOLED = sent(*sound(0, 6), *sound(7, 10))
NINE = {PARTITION: Standing(109, 109, 109)}
GAP = gap(6 * CHUNK, 7 * CHUNK)
GAP_TOLD = [STARTED, *FINALS[:2], GAP, FINALS[2], ended(3)]


def test_a_gap_is_told_where_it_is() -> None:
    assert broken(evidence(GAP_TOLD, sent=HOLED, standings=NINE)) == {}


@pytest.mark.parametrize(
    ("events", "records"),
    [(GAP_TOLD, sent(*sound(0, 10))), (RIGHT, HOLED)],
    ids=["nobody made it", "not told"],
)
def test_a_gap_too_many_or_too_few(events: list[AnyEvent], records: list[Sent]) -> None:
    assert "gap of 96000-112000" in only(
        evidence(events, sent=records, standings=NINE | {PARTITION: Standing(9, 9, 9)}),
        Invariant.COMPLETE,
    )


def test_what_retention_deleted_is_excused_where_it_is_told() -> None:
    loss = event(StreamLoss, 60, first_offset=104, last_offset=105)
    events = [STARTED, FINALS[0], loss, final(1, 112_000, 152_000), ended(2)]
    assert broken(evidence(events)) == {}


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_session_whose_end_was_deleted_stays_open(*, is_gone: bool) -> None:
    end = Label(Kind.END, TAKE, 10 * CHUNK, 10 * CHUNK)
    told = evidence(
        RIGHT[:-1],
        sent=sent(*sound(0, 10), end),
        deleted=[Deleted(PARTITION, 110, 110)] if is_gone else [],
        standings={PARTITION: Standing(111, 111, 111)},
    )
    assert list(broken(told)) == ([] if is_gone else [Invariant.ORDER])


def test_what_was_deleted_may_be_lost_to_streams_that_had_not_begun() -> None:
    late = replace(STARTED, session_id="3-105"), final(0, 112_000, 152_000, session_id="3-105")
    events = [*late, replace(ended(1), session_id="3-105")]
    few = {PARTITION: Standing(110, 110, 110, {"accepted": 5})}
    gone = [Deleted(PARTITION, 90, 104)]
    spoken = {TAKE: [(114_000, 150_000)]}
    assert broken(evidence(events, deleted=gone, standings=few, spoken=spoken)) == {}
    none = {PARTITION: Standing(110, 110, 110, {"accepted": 4})}
    told = only(evidence(events, deleted=gone, standings=none, spoken=spoken), Invariant.ACCOUNTED)
    assert "deleted 5" in told


@pytest.mark.parametrize("first", [110, 111], ids=["its start is gone", "another record is gone"])
def test_a_take_without_its_start_goes_on_in_the_session_before_it(first: int) -> None:
    longer = replace(PLAN, number=TAKE + 1)
    speech = (180_000, 220_000)
    behind = [Label(Kind.SOUND, longer.number, n * CHUNK, (n + 1) * CHUNK) for n in range(10, 15)]
    events = [*RIGHT[:-1], final(3, *speech, take=longer.number), ended(4)]
    found = evidence(
        events,
        plans={TAKE: PLAN, longer.number: longer},
        sent=sent(*sound(0, 10), *behind),
        deleted=[Deleted(PARTITION, first, first)],
        standings={PARTITION: Standing(115, 115, 115, {"accepted": 14})},
        spoken={TAKE: SPEECH, longer.number: [speech]},
    )
    expected = {Invariant.TEXT} if first > 110 else set()
    assert set(broken(found)) == expected


BAD = Label(Kind.BAD, TAKE, 6 * CHUNK, 7 * CHUNK, Reason.BAD_HEADER)
SPOILT = sent(*sound(0, 6), BAD, *sound(7, 10))


@pytest.mark.parametrize(
    ("dead", "kept"),
    [
        ([Dead(PARTITION, 106, Reason.BAD_HEADER)], True),
        ([], False),
        ([Dead(PARTITION, 106, Reason.BAD_HEADER)] * 2, False),
        ([Dead(PARTITION, 106, Reason.OVERLAP)], False),
        ([Dead(PARTITION, 106, Reason.BAD_HEADER), Dead(PARTITION, 107, Reason.OVERLAP)], False),
    ],
    ids=["right", "lost", "twice", "another reason", "a good record"],
)
def test_a_bad_record_is_dead_lettered_once(dead: list[Dead], kept: bool) -> None:
    found = broken(evidence(GAP_TOLD, sent=SPOILT, dead=dead, standings=NINE))
    assert set(found) == (set() if kept else {Invariant.ACCOUNTED})


@pytest.mark.parametrize(
    ("poisoned", "letters", "kept"), [(True, 1, True), (True, 0, False), (False, 1, False)]
)
def test_only_poison_may_fail_and_is_dead_lettered(
    poisoned: bool, letters: int, kept: bool
) -> None:
    where = {"start_sample": 56_000, "end_sample": 92_000, "rate": 16_000}
    failed = event(UtteranceFailed, 9, utterance=1, reason="undecodable", **where)
    events = [STARTED, FINALS[0], failed, FINALS[2], ended(3)]
    dead = [Dead(PARTITION, 103, Reason.UNDECODABLE)] * letters
    plans = {TAKE: replace(PLAN, poisoned=poisoned)}
    found = broken(evidence(events, dead=dead, plans=plans))
    assert set(found) == (set() if kept else {Invariant.ACCOUNTED})


def test_records_are_counted() -> None:
    wrong = {PARTITION: Standing(110, 110, 110, {"accepted": 9, "duplicate": 1})}
    assert "'accepted': 9" in only(evidence(standings=wrong), Invariant.ACCOUNTED)


@pytest.mark.parametrize(
    "change",
    [
        lambda again: again[:-1],
        lambda again: [*again[:-1], replace(again[-1], event=ended(5))],
        lambda again: [*again, replace(again[-1], offset=77)],
    ],
    ids=["less", "other", "more"],
)
def test_a_reader_at_the_end_sees_the_same(change: Callable[[list[Seen]], list[Seen]]) -> None:
    only(replace(evidence(), again=change(seen(RIGHT))), Invariant.STABLE)


@pytest.mark.parametrize("stand", [(109, 110, 110), (110, 109, 110), (None, 109, 110)])
def test_nothing_is_left_in_the_log(stand: tuple[int | None, int, int]) -> None:
    only(evidence(standings={PARTITION: Standing(*stand)}), Invariant.DRAINED)
