"""Every kind of violation is found, and a run in which all is right has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from chaos_evidence import (
    CHUNK,
    CORRECT,
    FINALS,
    NUMBER,
    PARTITION,
    SPEECH,
    STARTED,
    STREAM,
    ended,
    event,
    evidence,
    final,
    logged,
    records,
    sound,
)

from bench.robustness.chaos.evidence import (
    DeletedRange,
    LoggedDeadLetter,
    LoggedEvent,
    LoggedRecord,
    PartitionProgress,
    RunEvidence,
)
from bench.robustness.chaos.invariants import Invariant, check
from bench.robustness.chaos.test_streams import Label, RecordKind
from schemas.errors import Reason
from schemas.transcript import AnyEvent, StreamGap, StreamLoss, UtteranceFailed


def violated(evidence: RunEvidence) -> dict[Invariant, list[str]]:
    found = check(evidence).violations
    assert set(found) == set(Invariant)
    return {invariant: lines for invariant, lines in found.items() if lines}


def only(evidence: RunEvidence, *invariants: Invariant) -> str:
    """Return the violations, which are of exactly these invariants."""
    found = violated(evidence)
    assert set(found) == set(invariants), found
    return "; ".join(line for lines in found.values() for line in lines)


def test_a_correct_run_has_no_violations_and_is_counted() -> None:
    verdict = check(evidence())
    assert verdict.is_clean
    assert verdict.counts["records sound"] == 10
    assert verdict.counts["speech.transcript.final"] == 3
    assert (verdict.counts["audio s"], verdict.counts["speech s"]) == (10, 6)


def test_a_lost_utterance() -> None:
    events = [STARTED, FINALS[0], final(1, 112_000, 152_000), ended(2)]
    found = only(evidence(events), Invariant.COMPLETE)
    assert (
        found == "s/3-100, stream 7: 60000-90000 (3.75 s, 1.88 s long) was spoken and is left out"
    )


def test_a_lost_number() -> None:
    events = [STARTED, FINALS[0], FINALS[2], ended(3)]
    only(evidence(events), Invariant.COMPLETE, Invariant.ORDER)


def test_a_repeated_utterance() -> None:
    events = [STARTED, *FINALS[:2], FINALS[1], FINALS[2], ended(3)]
    found = only(evidence(events), Invariant.UNIQUE, Invariant.ORDER, Invariant.COMPLETE)
    assert "s/3-100/1 came 2 times" in found
    assert "56000-92000 (3.50 s, 2.25 s long) was transcribed twice" in found


def test_the_same_audio_under_another_session_is_transcribed_twice() -> None:
    again = replace(FINALS[2], session_id="3-106", utterance=0)
    found = only(evidence([*CORRECT, again]), Invariant.ORDER, Invariant.COMPLETE)
    assert "s/3-106: of no published stream" in found
    assert "was transcribed twice" in found


def test_an_overlap() -> None:
    events = [STARTED, FINALS[0], final(1, 41_999, 92_000), FINALS[2], ended(3)]
    found = only(evidence(events), Invariant.COMPLETE)
    assert "41999-42000" in found


def test_swapped_utterances() -> None:
    events = [STARTED, FINALS[1], FINALS[0], FINALS[2], ended(3)]
    only(evidence(events), Invariant.ORDER, Invariant.COMPLETE)


def test_a_text_of_other_audio() -> None:
    strange = final(1, 56_000, 92_000, text="so 7@56000-91000")
    found = only(evidence([STARTED, FINALS[0], strange, FINALS[2], ended(3)]), Invariant.TEXT)
    assert found == "s/3-100/1 is of 56000-92000, its text is 'so 7@56000-91000'"


def test_the_words_around_the_positions_are_free() -> None:
    other = final(1, 56_000, 92_000, text="you know 7@56000-92000")
    assert violated(evidence([STARTED, FINALS[0], other, FINALS[2], ended(3)])) == {}


def test_without_the_oracle_the_positions_of_events_count() -> None:
    events = [STARTED, *(replace(each, text="hello") for each in FINALS), ended(3)]
    assert violated(evidence(events, texts_name_samples=False)) == {}
    lost = [STARTED, FINALS[0], final(1, 112_000, 152_000, text="hello"), ended(2)]
    only(evidence(lost, texts_name_samples=False), Invariant.COMPLETE)


def test_a_missing_session() -> None:
    found = only(evidence([]), Invariant.ORDER, Invariant.COMPLETE)
    assert "s/3-100: is missing" in found


@pytest.mark.parametrize(
    "events", [CORRECT[1:], CORRECT[:-1], [*CORRECT[:-1], ended(4)], [STARTED, *CORRECT]]
)
def test_a_session_without_its_frame(events: list[AnyEvent]) -> None:
    assert Invariant.ORDER in violated(evidence(events))


def gap(start: int, end: int) -> AnyEvent:
    more = {"start_sample": start, "end_sample": end, "rate": 16_000, "estimated": False}
    return event(StreamGap, 50, **more)


HOLED = records(*sound(0, 6), *sound(7, 10))
NINE = {PARTITION: PartitionProgress(109, 109, 109)}
GAP = gap(6 * CHUNK, 7 * CHUNK)
WITH_GAP = [STARTED, *FINALS[:2], GAP, FINALS[2], ended(3)]


def test_a_gap_has_an_event() -> None:
    assert violated(evidence(WITH_GAP, records=HOLED, progress=NINE)) == {}


@pytest.mark.parametrize(
    ("events", "log"),
    [(WITH_GAP, records(*sound(0, 10))), (CORRECT, HOLED)],
    ids=["gap event for published audio", "gap without event"],
)
def test_a_gap_too_many_or_too_few(events: list[AnyEvent], log: list[LoggedRecord]) -> None:
    assert "gap of 96000-112000" in only(
        evidence(events, records=log, progress=NINE | {PARTITION: PartitionProgress(9, 9, 9)}),
        Invariant.COMPLETE,
    )


def test_audio_that_a_loss_event_names_may_be_left_out() -> None:
    loss = event(StreamLoss, 60, first_offset=104, last_offset=105)
    events = [STARTED, FINALS[0], loss, final(1, 112_000, 152_000), ended(2)]
    assert violated(evidence(events)) == {}


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_session_whose_end_was_deleted_stays_open(*, is_gone: bool) -> None:
    end = Label(RecordKind.END, NUMBER, 10 * CHUNK, 10 * CHUNK)
    given = evidence(
        CORRECT[:-1],
        records=records(*sound(0, 10), end),
        deleted=[DeletedRange(PARTITION, 110, 110)] if is_gone else [],
        progress={PARTITION: PartitionProgress(111, 111, 111)},
    )
    assert list(violated(given)) == ([] if is_gone else [Invariant.ORDER])


def test_deleted_records_may_be_lost_before_their_stream_began() -> None:
    late = replace(STARTED, session_id="3-105"), final(0, 112_000, 152_000, session_id="3-105")
    events = [*late, replace(ended(1), session_id="3-105")]
    few = {PARTITION: PartitionProgress(110, 110, 110, {"accepted": 5})}
    gone = [DeletedRange(PARTITION, 90, 104)]
    spoken = {NUMBER: [(114_000, 150_000)]}
    assert violated(evidence(events, deleted=gone, progress=few, speech=spoken)) == {}
    none = {PARTITION: PartitionProgress(110, 110, 110, {"accepted": 4})}
    found = only(evidence(events, deleted=gone, progress=none, speech=spoken), Invariant.ACCOUNTED)
    assert "deleted 5" in found


@pytest.mark.parametrize("first", [110, 111], ids=["its start is gone", "another record is gone"])
def test_a_stream_without_its_start_continues_the_session_before_it(first: int) -> None:
    longer = replace(STREAM, number=NUMBER + 1)
    speech = (180_000, 220_000)
    following = [
        Label(RecordKind.SOUND, longer.number, n * CHUNK, (n + 1) * CHUNK) for n in range(10, 15)
    ]
    events = [*CORRECT[:-1], final(3, *speech, number=longer.number), ended(4)]
    found = evidence(
        events,
        streams={NUMBER: STREAM, longer.number: longer},
        records=records(*sound(0, 10), *following),
        deleted=[DeletedRange(PARTITION, first, first)],
        progress={PARTITION: PartitionProgress(115, 115, 115, {"accepted": 14})},
        speech={NUMBER: SPEECH, longer.number: [speech]},
    )
    expected = {Invariant.TEXT} if first > 110 else set()
    assert set(violated(found)) == expected


BAD = Label(RecordKind.BAD, NUMBER, 6 * CHUNK, 7 * CHUNK, Reason.BAD_HEADER)
SPOILT = records(*sound(0, 6), BAD, *sound(7, 10))


@pytest.mark.parametrize(
    ("dead", "kept"),
    [
        ([LoggedDeadLetter(PARTITION, 106, Reason.BAD_HEADER)], True),
        ([], False),
        ([LoggedDeadLetter(PARTITION, 106, Reason.BAD_HEADER)] * 2, False),
        ([LoggedDeadLetter(PARTITION, 106, Reason.OVERLAP)], False),
        (
            [
                LoggedDeadLetter(PARTITION, 106, Reason.BAD_HEADER),
                LoggedDeadLetter(PARTITION, 107, Reason.OVERLAP),
            ],
            False,
        ),
    ],
    ids=["right", "lost", "twice", "another reason", "a good record"],
)
def test_a_bad_record_is_dead_lettered_once(dead: list[LoggedDeadLetter], kept: bool) -> None:
    found = violated(evidence(WITH_GAP, records=SPOILT, dead_letters=dead, progress=NINE))
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
    dead = [LoggedDeadLetter(PARTITION, 103, Reason.UNDECODABLE)] * letters
    streams = {NUMBER: replace(STREAM, poisoned=poisoned)}
    found = violated(evidence(events, dead_letters=dead, streams=streams))
    assert set(found) == (set() if kept else {Invariant.ACCOUNTED})


def test_the_outcomes_of_records_have_to_be_right() -> None:
    wrong = {PARTITION: PartitionProgress(110, 110, 110, {"accepted": 9, "duplicate": 1})}
    assert "'accepted': 9" in only(evidence(progress=wrong), Invariant.ACCOUNTED)


@pytest.mark.parametrize(
    "change",
    [
        lambda again: again[:-1],
        lambda again: [*again[:-1], replace(again[-1], event=ended(5))],
        lambda again: [*again, replace(again[-1], offset=77)],
    ],
    ids=["less", "other", "more"],
)
def test_a_reader_at_the_end_sees_the_same(
    change: Callable[[list[LoggedEvent]], list[LoggedEvent]],
) -> None:
    only(replace(evidence(), reread=change(logged(CORRECT))), Invariant.STABLE)


@pytest.mark.parametrize("stand", [(109, 110, 110), (110, 109, 110), (None, 109, 110)])
def test_all_of_the_log_has_to_be_read_and_committed(stand: tuple[int | None, int, int]) -> None:
    only(evidence(progress={PARTITION: PartitionProgress(*stand)}), Invariant.DRAINED)
