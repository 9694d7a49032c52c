from __future__ import annotations

from dataclasses import replace

from example_events import transcript_final

from bench.abuse.account import Run, checks, different, figures, misjudged
from bench.chaos.evidence import Dead, Seen, Sent, Standing
from bench.chaos.takes import Kind, Label
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


RIGHT = Label(Kind.SOUND, take=1)
BAD = Label(Kind.HOSTILE, note=Reason.BAD_HEADER)
COUNTED = {"accepted": 2, "duplicate": 0, "dead_letter": 1, "refused": 1}
RUN = Run(
    sent=[Sent(0, 0, 0.0, RIGHT), Sent(0, 1, 0.0, BAD), *(Sent(0, n, 0.0, RIGHT) for n in (2, 3))],
    seen=[
        Seen(0, 1, 4.0, final("so 1@0-16000")),
        Seen(0, 2, 9.0, final("1@32000-48000", 1, 32_000)),
    ],
    dead=[Dead(0, 1, Reason.BAD_HEADER)],
    standings={0: Standing(4, 4, 4, COUNTED)},
    valid=frozenset({"right-0"}),
    began_s=1.0,
    peak_mb=500.0,
    restarts=0,
    failures=0,
)


def broken(clean: Run, abused: Run) -> list[str]:
    return [check.name for check in checks(clean, abused) if not check.ok]


def with_(outcome: str, count: int) -> Run:
    return replace(RUN, standings={0: Standing(4, 4, 4, COUNTED | {outcome: count})})


def test_two_runs_alike_keep_every_promise():
    assert broken(RUN, RUN) == []
    assert figures(RUN, RUN)["refused for bad_header"] == 1
    assert figures(RUN, RUN)["outcome refused"] == 1


def test_finals_are_alike_whatever_words_the_oracle_chose_and_wherever_their_session_began():
    other = replace(RUN, seen=[Seen(0, 7, 4.0, final("uh 1@0-16000", session="0-9")), RUN.seen[1]])
    assert different(RUN, other) == 0


def test_a_final_that_is_missing_or_says_otherwise_is_found():
    assert different(RUN, replace(RUN, seen=RUN.seen[:1])) == 1
    assert (
        different(RUN, replace(RUN, seen=[Seen(0, 1, 4.0, final("1@0-15000")), RUN.seen[1]])) == 2
    )


def test_a_record_without_an_outcome_is_found():
    assert broken(RUN, with_("accepted", 1)) == ["records without exactly one outcome"]


def test_a_dead_letter_that_is_not_there_or_there_twice_is_found():
    told = ["dead letters that do not agree with the count"]
    assert broken(RUN, replace(RUN, dead=[])) == told
    assert broken(RUN, replace(RUN, dead=[*RUN.dead, *RUN.dead])) == told


def test_utterances_that_nobody_could_decode_are_no_records():
    assert broken(RUN, replace(RUN, dead=[*RUN.dead, Dead(0, 3, Reason.UNDECODABLE)])) == []


def test_a_record_refused_wrongly_is_found_but_one_turned_away_is_not_looked_into():
    wrong = replace(RUN, dead=[Dead(0, 1, Reason.OVERLAP)])
    assert list(misjudged(wrong)) == ["0/1 is refused for overlap, not bad_header"]
    assert len(list(misjudged(replace(RUN, dead=[Dead(0, 2, Reason.OVERLAP)])))) == 1
    assert list(misjudged(replace(RUN, dead=[Dead(0, 1, Reason.TOO_MANY_STREAMS)]))) == []


def test_what_abuse_may_cost_is_bounded():
    slow = replace(RUN, seen=[RUN.seen[0], replace(RUN.seen[1], at_s=13.0)])
    assert broken(RUN, slow) == ["throughput of right streams, of clean"]
    assert broken(RUN, replace(RUN, peak_mb=701.0)) == ["memory above the clean run MB"]
    assert broken(RUN, replace(RUN, restarts=1)) == ["worker restarts"]
    assert broken(RUN, replace(RUN, standings={0: Standing(4, 3, 4, COUNTED)})) == [
        "partitions not read to their end"
    ]
