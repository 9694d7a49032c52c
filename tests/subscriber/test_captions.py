from __future__ import annotations

import io
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from schemas.transcript import (
    AnyEvent,
    Model,
    Quality,
    Source,
    StreamEnded,
    StreamEndReason,
    StreamGap,
    StreamLoss,
    StreamStarted,
    StreamWarning,
    Timing,
    TranscriptFinal,
    UtteranceFailed,
    Verdict,
)
from subscriber.captions import Captions, fit
from transport.console import printable

TODAY_MS = int(datetime.now().astimezone().replace(hour=9, minute=41, second=7).timestamp()) * 1_000


def final(text: str, *, stream: str = "call-7", language: str = "en", **quality: object):
    return TranscriptFinal(
        stream_id=stream,
        session_id="0-0",
        index=0,
        time_ms=TODAY_MS,
        utterance=0,
        start_s=0.0,
        end_s=2.0,
        speech_end_s=2.0,
        start_sample=0,
        end_sample=32_000,
        rate=16_000,
        started_at_ms=TODAY_MS - 2_000,
        end_reason="silence",
        language=language,
        language_probability=0.99,
        text=text,
        words=None,
        confidence=0.9,
        quality=Quality(avg_logprob=-0.2, no_speech_prob=0.01, compression_ratio=1.1, **quality),
        model=Model("base", "ed3a", "bfloat16", fold=True),
        source=Source("speech.audio.v1", 0, 0, 9),
        timing=Timing(900, 10, 200),
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


def test_a_final_says_when_which_stream_which_language_and_what():
    assert shown(final(" And so")) == ["09:41:07  call-7      en   And so"]


def test_a_long_text_is_wrapped_under_its_own_column():
    assert shown(final("ask not what your country can do for you"), width=50) == [
        "09:41:07  call-7      en   ask not what your",
        "                           country can do for you",
    ]


def test_chinese_is_measured_in_cells():
    lines = shown(final("现在这个部门还在研究月球探测器和自动驾驶汽车", language="zh"), width=50)
    assert len(lines) == 2
    assert lines[1].startswith(" " * 27 + lines[1].strip())
    assert max(map(cell_len, lines)) <= 50


@given(text=st.text(min_size=1), width=st.integers(48, 120))
def test_no_line_is_wider_than_the_terminal(text: str, width: int):
    assert all(cell_len(line.rstrip()) <= width for line in shown(final(text), width=width))


def test_a_pipe_gets_one_line_an_event_and_no_colours():
    text = "ask not what your country can do for you " * 20
    (line,) = shown(final(text), terminal=False)
    assert line.endswith(text.strip())


def test_the_stream_column_grows_with_the_ids_up_to_a_limit():
    short, longer, longest = shown(
        final("a", stream="a"), final("b", stream="b" * 12), final("c", stream="c" * 40), width=80
    )
    assert [line.index("en") for line in (short, longer, longest)] == [22, 24, 36]


def test_streams_known_beforehand_have_their_room_from_the_start():
    out = io.StringIO()
    Captions(Console(file=out, width=80), streams=["b" * 12]).show(final("a", stream="a"))
    assert out.getvalue().index("en") == 24


def test_an_id_too_long_keeps_both_its_ends():
    assert fit("meeting-room-1:left", 11) == "meeti…:left"
    assert cell_len(fit("电话号码电话号码", 8)) == 8


def test_colour_is_for_terminals_and_a_stream_keeps_its_own():
    out = io.StringIO()
    captions = Captions(Console(file=out, force_terminal=True, color_system="standard"))
    captions.show(final("a"))
    captions.show(final("a"))
    first, second = out.getvalue().splitlines()
    assert first == second
    assert "\x1b[" in first


@pytest.mark.parametrize(
    ("happened", "line"),
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
            "lost: offsets 5-9 were deleted unread, or cannot be read",
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
def test_what_happened_to_a_stream_is_told_in_words(happened: AnyEvent, line: str):
    assert shown(happened, width=100) == [f"09:41:07  call-7           {line}"]


QUIET = (
    event(StreamStarted, rate=8_000, channels=1, languages=()),
    final("Thanks for watching!", verdict=Verdict.SUPPRESSED, reasons=("no_speech",)),
)


def test_starts_and_suppressed_finals_are_not_shown():
    assert shown(*QUIET) == []


def test_everything_shows_them_with_the_reason():
    started, suppressed = shown(*QUIET, everything=True, width=90)
    assert started.endswith("started: 8000 Hz, 1 channel")
    assert suppressed.endswith("suppressed (no_speech) Thanks for watching!")


def test_another_day_is_named_once():
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
def test_a_time_that_no_calendar_has_is_left_out(time_ms: int):
    odd = StreamWarning(stream_id="a", session_id="0-0", index=0, time_ms=time_ms, message="x")
    assert shown(odd)[0].startswith("--------  a")


def test_what_could_steer_the_terminal_is_escaped():
    (line,) = shown(final("\x1b[2J\r\n\u202eevil\u2028[red]x[/red]", stream="a\x07b"), width=120)
    assert r"\x1b[2J\r\n\u202eevil\u2028[red]x[/red]" in line
    assert r"a\x07b" in line


@given(text=st.text())
def test_printable_text_is_left_as_it_is_and_escaping_is_final(text: str):
    assert printable(printable(text)) == printable(text)
    assert "\x1b" not in printable(text)
