"""Figures and checks of observations of one stream, whose results are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_events import transcript_final
from live_observations import CLIPS, CLOCK, CONVERSATION, observation

from bench.live.figures import all_checks, all_figures
from bench.live.observations import LagSample, ReceivedEvent, ReceivedFinal
from evaluation.report import Figures, section
from schemas.transcript import Timing

WHOLE = {clip.name: clip.reference for clip in CLIPS}


def final(number: int, start_s: float, text: str, reason: str = "silence") -> ReceivedFinal:
    """Return a final: 0.1 s to detect the end, 0.55 s to the text, 0.05 s to the reader."""
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
    return ReceivedEvent(CLOCK.at_s(start_s + 2.7), event)


GOOD = observation(final(0, 1.0, "Red green."), final(1, 4.0, "blue white"))


def failed(figures: Figures) -> dict[str, float]:
    return {check.name: check.value for check in all_checks(figures) if not check.ok}


def test_a_conversation_is_timed_and_scored():
    figures = all_figures({"streamscribe": {"talk": [GOOD]}}, WHOLE, warm_up_s=0.0)
    talk = section(figures, "streamscribe.talk.")
    assert talk["latencies"] == 2
    assert talk["latency_p50_s"] == pytest.approx(0.7)
    assert talk["en.wer_percent"] == 0
    assert talk["cpu_s_per_stream_s"] == pytest.approx(0.1)
    assert talk["trace.detect_p50_s"] == pytest.approx(0.1)
    assert talk["trace.transcribe_p50_s"] == pytest.approx(0.55)
    assert talk["trace.publish_p50_s"] == pytest.approx(0.05)
    assert talk["trace.queue_p95_s"] == 0
    assert talk["trace.decode_p95_s"] == pytest.approx(0.2)
    assert talk["trace.decoded_early_share"] == 1


def test_speech_within_the_warm_up_is_not_timed():
    figures = all_figures({"streamscribe": {"talk": [GOOD]}}, WHOLE, warm_up_s=3.5)
    assert figures["streamscribe.talk.latencies"] == 1


def test_only_streamscribe_is_checked():
    figures = all_figures({"baseline": {"talk": [GOOD]}}, WHOLE, warm_up_s=0.0)
    assert figures["baseline.talk.latency_p95_s"] == pytest.approx(0.7)
    assert [*all_checks(figures)] == []


def test_a_long_recording_is_compared_with_its_clips_and_at_its_cuts():
    long = replace(CONVERSATION, reference="red green blue white")
    cut = observation(
        final(0, 1.0, "red", "max_length"), final(1, 4.0, "blue white"), conversations=[long]
    )
    figures = all_figures({"streamscribe": {"long": [cut]}}, WHOLE, warm_up_s=0.0)
    found = section(figures, "streamscribe.long.")
    assert (found["cuts"], found["words_lost_at_cuts"]) == (1, 1)
    assert found["en.worse_points"] == pytest.approx(25.0)
    assert "words lost at forced cuts" in failed(figures)
    assert any("en.worse_points" in name for name in failed(figures))


def test_text_without_speech_is_counted_per_hour():
    invented = observation(final(0, 1.0, "thanks"), final(1, 4.0, " "))
    figures = all_figures({"baseline": {"silent": [invented]}}, {}, warm_up_s=0.0)
    assert figures["baseline.silent.invented_finals"] == 1
    assert figures["baseline.silent.invented_per_hour"] == pytest.approx(3600 / 8.0)


# The stream that leaves has ended after 8 s.
LAGS = [(4.0, 0.2), (7.0, 30.0), (9.0, 0.5), (11.0, 1.0), (12.0, 0.9)]


def test_an_overload_lasts_until_the_lag_stays_small():
    samples = [LagSample(CLOCK.at_s(at), lag_s, 700.0 + at) for at, lag_s in LAGS]
    conversations = [CONVERSATION, replace(CONVERSATION, stream_id="leaves-0")]
    overload = observation(*GOOD.received, conversations=conversations, lag_samples=samples)
    figures = all_figures({"streamscribe": {"overload": [overload]}}, WHOLE, warm_up_s=0.0)
    found = section(figures, "streamscribe.overload.")
    assert (found["streams"], found["streams_after"], found["clips"]) == (2, 1, 4)
    assert (found["most_lag_s"], found["back_s"]) == (30.0, pytest.approx(3.0))
    assert (found["least_resident_mb"], found["most_resident_mb"]) == (704.0, 712.0)
    assert failed(figures) == {"overload: clips without a final": 2}
