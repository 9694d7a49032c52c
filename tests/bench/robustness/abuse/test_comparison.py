from __future__ import annotations

from dataclasses import replace

from example_events import transcript_final

from bench.robustness.abuse.comparison import (
    AbuseRun,
    abuse_checks,
    abuse_figures,
    different_finals,
    misjudged,
    uncontained,
)
from bench.robustness.chaos.evidence import (
    LoggedDeadLetter,
    LoggedEvent,
    LoggedRecord,
    PartitionProgress,
)
from bench.robustness.chaos.test_streams import Label, RecordKind
from bench.robustness.stage_faults import FaultStage
from schemas.errors import Reason
from schemas.transcript import Model, Source, Timing, TranscriptFinal


def final(text: str, number: int = 0, start: int = 0, session: str = "0-0") -> TranscriptFinal:
    return transcript_final(
        stream_id="right-0",
        session_id=session,
        index=1 + number,
        utterance=number,
        start_s=start / 16_000,
        end_s=start / 16_000 + 1.0,
        start_sample=start,
        end_sample=start + 16_000,
        text=text,
        model=Model("oracle", "0" * 64, "int1", fold=False),
        source=Source("speech.audio.v1", 0, 0, 9),
        timing=Timing(None, 1, 2),
    )


RIGHT = Label(RecordKind.SOUND, stream=1)
BAD = Label(RecordKind.HOSTILE, note=Reason.BAD_HEADER)
COUNTED = {"accepted": 2, "duplicate": 0, "dead_letter": 1, "refused": 1}
RUN = AbuseRun(
    records=[
        LoggedRecord(0, 0, 0.0, RIGHT),
        LoggedRecord(0, 1, 0.0, BAD),
        *(LoggedRecord(0, n, 0.0, RIGHT) for n in (2, 3)),
    ],
    events=[
        LoggedEvent(0, 1, 4.0, final("so 1@0-16000")),
        LoggedEvent(0, 2, 9.0, final("1@32000-48000", 1, 32_000)),
    ],
    dead_letters=[LoggedDeadLetter(0, 1, Reason.BAD_HEADER)],
    progress={0: PartitionProgress(4, 4, 4, COUNTED)},
    right_ids=frozenset({"right-0"}),
    began_s=1.0,
    peak_mb=500.0,
    restarts=0,
    failures=0,
)


def test_every_stage_that_raised_has_to_leave_a_dead_letter():
    records = [
        LoggedRecord(0, 4, 0.0, Label(RecordKind.FAULT, note=FaultStage.ORDER)),
        LoggedRecord(0, 5, 0.0, Label(RecordKind.FAULT, note=FaultStage.DETECTION)),
    ]
    faulty = replace(RUN, records=records)
    assert uncontained(faulty) == 1
    letter = LoggedDeadLetter(0, 4, Reason.INTERNAL_ERROR)
    assert uncontained(replace(faulty, dead_letters=[letter])) == 0


def failed(clean: AbuseRun, abused: AbuseRun) -> list[str]:
    return [check.name for check in abuse_checks(clean, abused) if not check.ok]


def with_(outcome: str, count: int) -> AbuseRun:
    return replace(RUN, progress={0: PartitionProgress(4, 4, 4, COUNTED | {outcome: count})})


def test_equal_runs_pass_every_check():
    assert failed(RUN, RUN) == []
    assert abuse_figures(RUN, RUN)["refused for bad_header"] == 1
    assert abuse_figures(RUN, RUN)["outcome refused"] == 1


def test_finals_are_equal_whatever_words_the_oracle_chose_and_wherever_their_session_began():
    other = replace(
        RUN, events=[LoggedEvent(0, 7, 4.0, final("uh 1@0-16000", session="0-9")), RUN.events[1]]
    )
    assert different_finals(RUN, other) == 0


def test_a_final_that_is_missing_or_of_other_samples_is_found():
    assert different_finals(RUN, replace(RUN, events=RUN.events[:1])) == 1
    assert (
        different_finals(
            RUN, replace(RUN, events=[LoggedEvent(0, 1, 4.0, final("1@0-15000")), RUN.events[1]])
        )
        == 2
    )


def test_a_record_without_an_outcome_is_found():
    assert failed(RUN, with_("accepted", 1)) == ["records without exactly one outcome"]


def test_a_dead_letter_that_is_not_there_or_there_twice_is_found():
    names = ["dead letters that do not agree with the count"]
    assert failed(RUN, replace(RUN, dead_letters=[])) == names
    assert failed(RUN, replace(RUN, dead_letters=[*RUN.dead_letters, *RUN.dead_letters])) == names


def test_utterances_that_could_not_be_decoded_are_no_records():
    assert (
        failed(
            RUN,
            replace(
                RUN, dead_letters=[*RUN.dead_letters, LoggedDeadLetter(0, 3, Reason.UNDECODABLE)]
            ),
        )
        == []
    )


def test_a_record_refused_wrongly_is_found_but_not_where_its_stream_was_rejected():
    wrong = replace(RUN, dead_letters=[LoggedDeadLetter(0, 1, Reason.OVERLAP)])
    assert list(misjudged(wrong)) == ["0/1 is refused for overlap, not bad_header"]
    assert (
        len(list(misjudged(replace(RUN, dead_letters=[LoggedDeadLetter(0, 2, Reason.OVERLAP)]))))
        == 1
    )
    assert (
        list(
            misjudged(replace(RUN, dead_letters=[LoggedDeadLetter(0, 1, Reason.TOO_MANY_STREAMS)]))
        )
        == []
    )


def test_the_cost_of_hostile_records_is_bounded():
    slow = replace(RUN, events=[RUN.events[0], replace(RUN.events[1], at_s=13.0)])
    assert failed(RUN, slow) == ["throughput of right streams, of clean"]
    assert failed(RUN, replace(RUN, peak_mb=701.0)) == ["memory above the clean run MB"]
    assert failed(RUN, replace(RUN, restarts=1)) == ["worker restarts"]
    assert failed(RUN, replace(RUN, progress={0: PartitionProgress(4, 3, 4, COUNTED)})) == [
        "partitions not read to their end"
    ]
