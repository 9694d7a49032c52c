from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from tail_events import event, final, partial, started
from terminal import Terminal

from schemas.transcript import Quality, StreamStarted, Verdict
from subscriber.captions import Captions
from subscriber.live_captions import CaptionsByStream, InterleavedCaptions, LiveRegion
from subscriber.open_utterances import SILENT_S


class Stopwatch:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Stopwatch:
    return Stopwatch()


def interleaved(terminal: Terminal, clock: Stopwatch) -> LiveRegion:
    return InterleavedCaptions(terminal.console, Captions(terminal.console), clock)


def by_stream(terminal: Terminal, clock: Stopwatch, **options: object) -> LiveRegion:
    return CaptionsByStream(terminal.console, clock, **options)


def test_a_partial_is_rewritten_in_place_until_its_final(clock: Stopwatch):
    terminal = Terminal(60)
    with interleaved(terminal, clock) as live:
        for event_, shown in (
            (started(), "09:41:07  call-7           …"),
            (partial("And so", " my"), "09:41:07  call-7      en   And so my"),
            (
                partial("And so my", " fell", revision=2),
                "09:41:07  call-7      en   And so my fell",
            ),
            (final("And so, my fellow."), "09:41:07  call-7      en   And so, my fellow."),
        ):
            live.show(event_)
            assert terminal.lines() == [shown]


def test_finals_stay_above_the_open_utterances(clock: Stopwatch):
    terminal = Terminal(60)
    with interleaved(terminal, clock) as live:
        live.show(partial("one", stream_id="b"))
        live.show(partial("two"))
        live.show(final("two!"))
        assert [line.split()[-1] for line in terminal.lines()] == ["two!", "one"]


def test_open_utterances_are_removed_at_the_end_and_finals_stay(clock: Stopwatch):
    terminal = Terminal(60)
    with interleaved(terminal, clock) as live:
        live.show(final("one"))
        live.show(partial("two", utterance=1))
    assert [line.split()[-1] for line in terminal.lines()] == ["one"]


def test_an_utterance_without_a_final_disappears(clock: Stopwatch):
    terminal = Terminal(60)
    with interleaved(terminal, clock) as live:
        live.show(partial("one"))
        live.tick()
        assert len(terminal.lines()) == 1
        clock.now = SILENT_S
        live.tick()
        assert terminal.lines() == []


def test_more_open_utterances_than_lines_are_counted(clock: Stopwatch):
    terminal = Terminal(60, height=7)
    with interleaved(terminal, clock) as live:
        for number in range(5):
            live.show(partial("text", stream_id=f"line-{number}"))
        lines = terminal.lines()
    assert [line.split()[1] for line in lines[:2]] == ["line-0", "line-1"]
    assert lines[2:] == ["and 3 streams more"]


def test_each_stream_keeps_its_lines(clock: Stopwatch):
    terminal = Terminal(60, height=5)
    with by_stream(terminal, clock) as live:
        live.show(final("one"))
        live.show(final("two", stream_id="b"))
        live.show(partial("three", utterance=1))
        assert [line.split() for line in terminal.lines() if line] == [
            ["call-7", "one", "three"],
            ["b", "two"],
        ]


def test_a_stream_shows_its_newest_lines(clock: Stopwatch):
    terminal = Terminal(60, height=4)
    with by_stream(terminal, clock) as live:
        live.show(final("word " * 40 + "last"))
        lines = terminal.lines()
    assert len(lines) == 3
    assert lines[-1].endswith("last")


def test_expected_streams_have_lines_before_they_speak(clock: Stopwatch):
    terminal = Terminal(60)
    with by_stream(terminal, clock, streams=["b", "a"]) as live:
        live.tick()
        assert [line for line in terminal.lines() if line] == ["b", "a"]


SUPPRESSED = Quality(-0.5, 0.9, 1.0, verdict=Verdict.SUPPRESSED, reasons=("no_speech",))


@pytest.mark.parametrize("everything", [False, True])
def test_minor_events_are_shown_by_stream_on_request(everything: bool, clock: Stopwatch):
    terminal = Terminal(80)
    with by_stream(terminal, clock, everything=everything) as live:
        live.show(event(StreamStarted, rate=8_000, channels=1, languages=()))
        live.show(final("", quality=SUPPRESSED))
        text = " ".join(terminal.lines())
    assert ("started: 8000 Hz" in text, "suppressed (no_speech)" in text) == (everything,) * 2


def test_of_more_streams_than_lines_the_newest_are_shown(clock: Stopwatch):
    terminal = Terminal(60, height=4)
    with by_stream(terminal, clock) as live:
        for number in range(300):
            live.show(final("text", stream_id=f"line-{number}"))
        assert [line.split()[0] for line in terminal.lines()] == [
            "line-297",
            "line-298",
            "line-299",
        ]


@given(
    texts=st.lists(st.text(max_size=80), min_size=1, max_size=4),
    width=st.integers(48, 120),
    layout=st.sampled_from([interleaved, by_stream]),
)
def test_no_line_is_wider_than_the_terminal(texts: list[str], width: int, layout: object):
    terminal = Terminal(width)
    with layout(terminal, Stopwatch()) as live:
        for number, text in enumerate(texts):
            live.show(partial(text, text, utterance=number))
            live.show(final(text, utterance=number))
            rows = live.region().plain.splitlines()
            assert all(cell_len(row) <= width for row in rows)


def test_nothing_but_text_and_cursor_movements_is_written_without_colours(clock: Stopwatch):
    terminal = Terminal(60)
    with interleaved(terminal, clock) as live:
        live.show(partial("And so", " my"))
        live.show(final("And so", "so", verdict=Verdict.REVIEW))
    assert "And so (?)" in terminal.getvalue()
    assert not re.findall(r"\x1b\[[\d;]*m", terminal.getvalue())
