from __future__ import annotations

import io

import pytest
from rich.console import Console

from offline.progress import Failure, FileBars, PlainLines, new_reporter, print_summary

NAME = "calls/\x1b[31m访谈.wav"


def console(*, terminal: bool = False, width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_each_input_is_a_line_that_cannot_control_it():
    console_ = console(width=20)
    with new_reporter(console_) as reporter:
        reporter.found(11.0)
        reporter.advanced(NAME, 5.0, 11.0)
        reporter.warned(NAME, "two tracks")
        reporter.done(NAME, 11.0, ["访谈.txt", "访谈.srt"])
        reporter.failed(Failure("b.wav", "is empty"))
    assert isinstance(reporter, PlainLines)
    assert printed(console_).splitlines() == [
        r"calls/\x1b[31m访谈.wav: warning: two tracks",
        r"calls/\x1b[31m访谈.wav: 11.0 s in 访谈.txt, 访谈.srt",
        "b.wav: failed: is empty",
    ]


def test_on_a_terminal_there_is_a_bar_for_all_and_one_for_each_that_is_read():
    console_ = console(terminal=True)
    reporter = new_reporter(console_)
    assert isinstance(reporter, FileBars)
    with reporter:
        reporter.found(60.0)
        reporter.found(None)
        reporter.advanced("a.wav", 6.0, 60.0)
        reporter.advanced("pipe", 3.0, None)
        reporter.done("a.wav", 60.0, [])
        assert reporter.shown == [("all", 63.0, 60.0), ("pipe", 3.0, None)]
        reporter.failed(Failure("pipe", "ended"))
        assert reporter.shown == [("all", 63.0, 60.0)]
    assert "a.wav: 60.0 s" in printed(console_)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_summary_has_a_row_for_each_problem(width: int):
    console_ = console(width=width)
    failures = [Failure(NAME, "is empty"), Failure("b.wav", "ends early")]
    print_summary(console_, done=1, skipped=2, failures=failures)
    first, head, *rows = printed(console_).splitlines()
    assert first == "1 file done, 2 skipped, done before, 2 failed or incomplete"
    assert head.split() == ["file", "problem"]
    assert [row.rstrip() for row in rows] == [
        r"calls/\x1b[31m访谈.wav  is empty",
        "b.wav                   ends early",
    ]


def test_the_summary_without_problems_is_a_line():
    console_ = console()
    print_summary(console_, done=2, skipped=0, failures=[])
    assert printed(console_) == "2 files done\n"
