"""From what was heard to what is shown, with one stream that is known by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from example_events import transcript_final

from bench.live.capacity import Search
from bench.live.findings import of_acts, of_capacity
from bench.live.heard import Act, Axis, Ended, Final, Look, Played
from bench.live.programme import Long, Spoken, joined
from schemas.transcript import Timing

RATE = 16_000
AXIS = Axis(1000.0, 1.0)


def clip(name: str, said: str) -> Spoken:
    return Spoken(name, "en", said, np.zeros(2 * RATE, np.int16), ((0, 2 * RATE),))


CLIPS = [clip("a", "red green"), clip("b", "blue white")]
PROGRAMME = joined("s", CLIPS, [RATE, RATE])  # speech from 1 to 3 and from 4 to 6 s
WHOLE = {"a": "red green", "b": "blue white"}


def final(number: int, start_s: float, text: str, reason: str = "silence") -> Final:
    """Heard 0.1 s late, text known 0.55 s behind that, read 0.05 s later."""
    event = transcript_final(
        index=number,
        utterance=number,
        start_s=start_s,
        end_s=start_s + 2.2,
        speech_end_s=start_s + 2.1,
        end_reason=reason,
        text=text,
        timing=Timing(550, 0, 200),
    )
    return Final("s", start_s, start_s + 2.2, text, AXIS.at_s(start_s + 2.7), event)


def played(*finals: Final) -> Played:
    act = Act([PROGRAMME], 1.0, partials=False, patience_s=1.0)
    heard = [*finals, Ended("s")]
    return Played(act, AXIS, heard, frozenset({"s"}), 1020.0, cpu_s=0.8, late_s=0.01)


GOOD = played(final(0, 1.0, "Red green."), final(1, 4.0, "blue white"))


def test_a_conversation_is_timed_and_scored():
    found = of_acts({"streamscribe": {"talk": [GOOD]}}, [], WHOLE, warm_up_s=0.0)
    part = found.part("streamscribe.talk")
    assert part["latencies"] == 2
    assert part["latency_p50_s"] == pytest.approx(0.7)
    assert part["en.wer_percent"] == 0
    assert part["cpu_s_per_stream_s"] == pytest.approx(0.1)
    assert part["trace.heard_p50_s"] == pytest.approx(0.1)
    assert part["trace.known_p50_s"] == pytest.approx(0.55)
    assert part["trace.publish_p50_s"] == pytest.approx(0.05)
    assert part["trace.decoded_early_share"] == 1


def test_what_is_spoken_while_warming_up_is_not_timed():
    found = of_acts({"streamscribe": {"talk": [GOOD]}}, [], WHOLE, warm_up_s=3.5)
    assert found.figures["streamscribe.talk.latencies"] == 1


def test_checks_are_of_ours_alone():
    theirs = of_acts({"naive": {"talk": [GOOD]}}, [], WHOLE, warm_up_s=0.0)
    assert theirs.checks == []
    assert theirs.figures["naive.talk.latency_p95_s"] == pytest.approx(0.7)


def test_a_long_recording_is_held_to_its_clips_and_to_its_cuts():
    act = played(final(0, 1.0, "red", "max_length"), final(1, 4.0, "blue white"))
    long = [Long(PROGRAMME, "red green blue white")]
    found = of_acts({"streamscribe": {"long": [act]}}, long, WHOLE, warm_up_s=0.0)
    part = found.part("streamscribe.long")
    assert (part["cuts"], part["words_lost_at_cuts"]) == (1, 1)
    assert part["en.worse_points"] == pytest.approx(25.0)
    failed = {check.name for check in found.checks if not check.ok}
    assert "words lost at forced cuts" in failed
    assert any("en.worse_points" in name for name in failed)


def test_text_where_nothing_is_said_is_counted_by_the_hour():
    act = played(final(0, 1.0, "thanks"), final(1, 4.0, " "))
    found = of_acts({"naive": {"silent": [act]}}, [], {}, warm_up_s=0.0)
    assert found.figures["naive.silent.invented_finals"] == 1
    assert found.figures["naive.silent.invented_per_hour"] == pytest.approx(3600 / 8.0)


def test_an_overload_is_over_when_the_lag_stays_small():
    """The stream that leaves is over after 8 s."""
    leaving = replace(PROGRAMME, stream_id="leaves-0")
    looks = [Look(AXIS.at_s(at), lag_s, 700.0 + at) for at, lag_s in LAGS]
    act = replace(GOOD, act=replace(GOOD.act, programmes=[PROGRAMME, leaving]), looks=looks)
    found = of_acts({"streamscribe": {"overload": [act]}}, [], WHOLE, warm_up_s=0.0)
    part = found.part("streamscribe.overload")
    assert (part["streams"], part["streams_behind"], part["clips"]) == (2, 1, 4)
    assert (part["most_lag_s"], part["back_s"]) == (30.0, pytest.approx(3.0))
    assert (part["least_resident_mb"], part["most_resident_mb"]) == (704.0, 712.0)
    failed = {check.name: check.value for check in found.checks if not check.ok}
    assert failed == {"overload: clips without a final": 2}


LAGS = [(4.0, 0.2), (7.0, 30.0), (9.0, 0.5), (11.0, 1.0), (12.0, 0.9)]


def test_streams_are_compared():
    searches = {
        "streamscribe": Search(8, {8: True, 24: True, 25: False}),
        "naive": Search(8, {8: True, 9: False}),
    }
    found = of_capacity(searches, limit_s=1.5)
    assert found.figures["streamscribe.most_streams"] == 24
    (check,) = found.checks
    assert (check.value, check.ok) == (3.0, True)
