from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from example_events import transcript_final
from rich.console import Console

from devstack.demo_report import (
    Received,
    checks,
    figures,
    latency_s,
    results,
    table,
)
from evaluation.report import as_json
from evaluation.samples import SampleClip
from schemas.transcript import StreamEnded, StreamEndReason, TranscriptFinal

EN = SampleClip(Path("en_a.flac"), "en", "red green blue grey", 4.0)
ZH = SampleClip(Path("zh_b.flac"), "zh", "月球探测器", 2.5)


def final(sample: SampleClip, text: str, *, received_ms: int = 1_300, index: int = 0) -> Received:
    event = transcript_final(
        stream_id=sample.stream_id,
        index=index,
        time_ms=1_000,
        utterance=index,
        end_s=1.0,
        speech_end_s=0.8,
        language=sample.language,
        text=text,
    )
    return Received(event, received_ms)


def ended(sample: SampleClip) -> Received:
    event = StreamEnded(
        stream_id=sample.stream_id,
        session_id="0-0",
        index=9,
        time_ms=1_000,
        reason=StreamEndReason.END,
        utterances=1,
        audio_s=1.0,
        speech_s=1.0,
        gaps=0,
    )
    return Received(event, 1_400)


GOOD = (
    final(EN, "Red, green,"),
    final(ZH, "月球探测"),
    final(EN, " blue gray.", index=1, received_ms=1_700),
    ended(ZH),
    ended(EN),
)


def test_a_stream_s_text_is_that_of_its_finals_in_order():
    en, zh = results([EN, ZH], GOOD)
    assert en.text == "Red, green, blue gray."
    assert (en.score.errors, en.score.length) == (0, 4)
    assert (zh.score.errors, zh.score.length) == (1, 5)
    assert en.ended
    assert zh.ended


def test_latency_is_measured_from_the_end_of_speech():
    event = GOOD[0].event
    assert isinstance(event, TranscriptFinal)
    assert latency_s(event, 1_300) == pytest.approx(0.5)  # its speech ends 200 ms before its audio


def test_good_results_pass_every_check():
    assert all(check.ok for check in checks(results([EN, ZH], GOOD)))


def failed(*received: Received) -> list[str]:
    return [check.name for check in checks(results([EN, ZH], received)) if not check.ok]


def test_a_stream_that_did_not_end_fails_a_check():
    assert failed(*GOOD[:-1]) == ["streams not ended"]


def test_a_stream_without_text_fails_its_own_and_its_language_s_check():
    assert failed(*(one for one in GOOD if one.event.stream_id == "zh_b")) == [
        "streams not ended",
        "en WER",
        "WER of en_a",
    ]


def test_a_late_final_is_shown_and_does_not_fail_the_demo():
    late = replace(GOOD[0], at_ms=9_000)
    (slow,) = (check for check in checks(results([EN, ZH], (late, *GOOD[1:]))) if not check.ok)
    assert slow.value == 8.2
    assert not slow.required
    assert str(slow).split()[0] == "slow"


def test_without_a_final_there_is_no_latency_to_check():
    assert "p95" not in " ".join(check.name for check in checks(results([EN], [ended(EN)])))


def test_the_json_has_figures_and_checks():
    streams = results([EN, ZH], GOOD)
    written = orjson.loads(
        orjson.dumps(as_json(figures(streams, {"broker": 3.1}), checks(streams)))
    )
    assert written["figures"]["languages"]["zh"]["error_rate"] == 0.2
    assert written["figures"]["streams"]["en_a"]["latency_p95_s"] == 0.9
    assert written["figures"]["all"] == {
        "audio_s": 6.5,
        "finals": 3,
        "latency_p50_s": 0.5,
        "latency_p95_s": 0.9,
    }
    assert written["figures"]["phases_s"] == {"broker": 3.1}
    assert written["checks"][0] == {
        "name": "streams not ended",
        "value": 0,
        "limit": 0,
        "ok": True,
    }


def rows(*received: Received) -> list[list[str]]:
    out = io.StringIO()
    Console(file=out, width=80).print(table(results([EN, ZH], received)))
    return [re.split(r"  +", line.strip()) for line in out.getvalue().splitlines() if line.strip()]


def test_the_table_has_one_row_per_stream_and_language():
    heading, _, en, zh, all_en, all_zh = rows(*GOOD)
    assert heading[0] == "stream"
    assert (en[0], all_en[0]) == ("en_a", "all en")
    assert zh == ["zh_b", "2.5 s", "5 chars", "CER 20.0%", "1", "0.50 s", "0.50 s"]
    assert all_zh[1:] == zh[1:]


def test_the_table_marks_a_stream_that_did_not_end():
    assert [row[0] for row in rows(*GOOD[:-1]) if "not ended" in row[0]] == ["en_a (not ended)"]
