from __future__ import annotations

import io
from datetime import datetime

import pytest
from example_events import transcript_final
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from schemas.transcript import (
    AnyEvent,
    Quality,
    StreamEnded,
    StreamEndReason,
    StreamGap,
    StreamLoss,
    StreamStarted,
    StreamWarning,
    UtteranceFailed,
    Verdict,
)
from subscriber.captions import Captions, fit
from transport.console import printable

TODAY_MS = int(datetime.now().astimezone().replace(hour=9, minute=41, second=7).timestamp()) * 1_000


def final(text: str, *, stream: str = "call-7", language: str = "en", **quality: object):
    return transcript_final(
        stream_id=stream,
        time_ms=TODAY_MS,
        language=language,
        text=text,
        quality=Quality(avg_logprob=-0.2, no_speech_prob=0.01, compression_ratio=1.1, **quality),
    )


def event(kind: type[AnyEvent], **fields: object) -> AnyEvent:
    return kind(stream_id="call-7", session_id="0-0", index=0, time_ms=TODAY_MS, **fields)


def shown(*events: AnyEvent, width: int = 60, everything: bool = False, terminal: bool = True):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    captions = Captions(console, everything=everything)
    for one in events:
        captions.show(one)
    return out.getvalue().splitlines()


def test_a_final_is_printed_as_time_stream_language_and_text():
    assert shown(final(" And so")) == ["09:41:07  call-7      en   And so"]


def test_a_long_text_is_wrapped_under_its_column():
    assert shown(final("ask not what your country can do for you"), width=50) == [
        "09:41:07  call-7      en   ask not what your",
        "                           country can do for you",
    ]


def test_chinese_is_wrapped_by_its_width_in_terminal_cells():
    lines = shown(final("现在这个部门还在研究月球探测器和自动驾驶汽车", language="zh"), width=50)
    assert len(lines) == 2
    assert lines[1].startswith(" " * 27 + lines[1].strip())
    assert max(map(cell_len, lines)) <= 50


@given(text=st.text(min_size=1), width=st.integers(48, 120))
def test_no_line_is_wider_than_the_terminal(text: str, width: int):
    assert all(cell_len(line.rstrip()) <= width for line in shown(final(text), width=width))


def test_a_pipe_gets_one_line_per_event_without_colours():
    text = "ask not what your country can do for you " * 20
    (line,) = shown(final(text), terminal=False)
    assert line.endswith(text.strip())


def test_the_stream_column_grows_with_the_ids_up_to_a_limit():
    short, longer, longest = shown(
        final("a", stream="a"), final("b", stream="b" * 12), final("c", stream="c" * 40), width=80
    )
    assert [line.index("en") for line in (short, longer, longest)] == [22, 24, 36]


def test_the_stream_column_has_the_width_of_expected_ids():
    out = io.StringIO()
    Captions(Console(file=out, width=80), streams=["b" * 12]).show(final("a", stream="a"))
    assert out.getvalue().index("en") == 24


def test_a_long_id_keeps_both_ends():
    assert fit("meeting-room-1:left", 11) == "meeti…:left"
    assert cell_len(fit("电话号码电话号码", 8)) == 8


def test_a_stream_keeps_its_colour_on_a_terminal():
    out = io.StringIO()
    captions = Captions(Console(file=out, force_terminal=True, color_system="standard"))
    captions.show(final("a"))
    captions.show(final("a"))
    first, second = out.getvalue().splitlines()
    assert first == second
    assert "\x1b[" in first


@pytest.mark.parametrize(
    ("stream_event", "line"),
    [
        (
            event(
                StreamEnded,
                reason=StreamEndReason.END,
                utterances=1,
                audio_s=11.0,
                speech_s=9.5,
                gaps=0,
            ),
            "ended (end): 1 utterance, 11.0 s",
        ),
        (
            event(
                StreamEnded,
                reason=StreamEndReason.IDLE,
                utterances=3,
                audio_s=40.04,
                speech_s=9.5,
                gaps=2,
            ),
            "ended (idle): 3 utterances, 40.0 s, 2 gaps",
        ),
        (
            event(StreamGap, start_sample=16, end_sample=48, rate=16, estimated=True),
            "gap: about 2.0 s never reached Kafka",
        ),
        (
            event(StreamLoss, first_offset=5, last_offset=9),
            "lost: offsets 5-9 were deleted before reading, or are unreadable",
        ),
        (event(StreamWarning, message="endpoint_ms is 5"), "warning: endpoint_ms is 5"),
        (
            event(
                UtteranceFailed, utterance=2, start_sample=0, end_sample=1, rate=8_000, reason="oom"
            ),
            "utterance 2 failed: oom; its audio is a dead letter",
        ),
    ],
)
def test_stream_events_are_described_in_words(stream_event: AnyEvent, line: str):
    assert shown(stream_event, width=100) == [f"09:41:07  call-7           {line}"]


MINOR = (
    event(StreamStarted, rate=8_000, channels=1, languages=()),
    final("Thanks for watching!", verdict=Verdict.SUPPRESSED, reasons=("no_speech",)),
)


def test_starts_and_suppressed_finals_are_not_printed():
    assert shown(*MINOR) == []


def test_with_everything_starts_and_suppressed_finals_are_printed():
    started, suppressed = shown(*MINOR, everything=True, width=90)
    assert started.endswith("started: 8000 Hz, 1 channel")
    assert suppressed.endswith("suppressed (no_speech) Thanks for watching!")


def test_a_new_date_is_printed_once():
    yesterday = event(StreamWarning, message="x")
    old = [
        StreamWarning(
            stream_id="a", session_id="0-0", index=i, time_ms=1_700_000_000_000 + i, message="x"
        )
        for i in range(2)
    ]
    days = [line for line in shown(*old, yesterday) if "2023" in line or ":" not in line]
    assert len(days) == 2
    assert "Nov 2023" in days[0]


@pytest.mark.parametrize("time_ms", [10**18, -(10**18), 2**62])
def test_a_time_out_of_range_is_left_out(time_ms: int):
    odd = StreamWarning(stream_id="a", session_id="0-0", index=0, time_ms=time_ms, message="x")
    assert shown(odd)[0].startswith("--------  a")


def test_control_characters_are_escaped():
    (line,) = shown(final("\x1b[2J\r\n\u202eevil\u2028[red]x[/red]", stream="a\x07b"), width=120)
    assert r"\x1b[2J\r\n\u202eevil\u2028[red]x[/red]" in line
    assert r"a\x07b" in line


@given(text=st.text())
def test_escaped_text_is_not_escaped_again(text: str):
    assert printable(printable(text)) == printable(text)
    assert "\x1b" not in printable(text)
