from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from example_events import transcript_final

from bench.framework import measure
from bench.live.observations import Received, ReceivedEnd, ReceivedFinal, ReceivedOnset
from bench.live.systems import peer_engines, read_baseline, read_event, systems
from schemas.codec import encode_event
from schemas.transcript import (
    AnyEvent,
    StreamEnded,
    StreamEndReason,
    StreamGap,
    UtteranceStarted,
)

ENVELOPE: dict[str, Any] = {"stream_id": "s", "session_id": "0-0", "index": 0, "time_ms": 0}


def test_records_of_the_baseline_are_read():
    value = b'{"type": "final", "stream_id": "s", "start_s": 1.0, "end_s": 2.5, "text": "hello"}'
    final = ReceivedFinal("s", 1.0, 2.5, "hello", 9.0)
    assert read_baseline(SimpleNamespace(value=value), 9.0) == final
    ended = SimpleNamespace(value=b'{"type": "ended", "stream_id": "s"}')
    assert read_baseline(ended, 9.0) == ReceivedEnd("s")


def test_events_of_streamscribe_are_read():
    def received(event: AnyEvent) -> Received | None:
        _, value, headers = encode_event(event)
        return read_event(SimpleNamespace(value=value, headers=headers), 9.0)

    final = transcript_final(end_s=2.5, speech_end_s=2.0, text="hello")
    assert received(final) == ReceivedFinal("s", 0.0, 2.5, "hello", 9.0, final)
    started = UtteranceStarted(**ENVELOPE, utterance=1, start_s=5.2)
    assert received(started) == ReceivedOnset(9.0, started)
    ended = StreamEnded(
        **ENVELOPE,
        reason=StreamEndReason.END,
        utterances=1,
        audio_s=3.0,
        speech_s=2.0,
        gaps=0,
    )
    assert received(ended) == ReceivedEnd("s")
    gap = StreamGap(**ENVELOPE, start_sample=0, end_sample=1, rate=16_000, estimated=False)
    assert received(gap) is None


def test_a_peer_that_cannot_run_is_an_error_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
):
    assert measure("live", "bench.live.run", ["--peer", "whisper-live"]) == 2
    error = capsys.readouterr().err
    assert "tokenizers" in error
    assert "--peer baseline" in error


def test_without_a_peer_no_other_engine_is_needed():
    assert peer_engines(None) == []


def test_the_baseline_is_measured_if_it_has_weights():
    asked = argparse.Namespace(endpoint_ms=500, dtype="fp32")
    weights, ctranslate2 = Path("base.pt"), Path("ct2")
    assert [each.name for each in systems(asked, 2, weights, None)] == ["streamscribe"]
    _, baseline = systems(asked, 2, weights, ctranslate2)
    assert baseline.command == ("bench.live.baseline",)
    assert baseline.settings == {"threads": "2", "endpoint_ms": "500", "model": "ct2"}
