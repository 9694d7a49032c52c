from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench import progress as module
from bench.progress import progress


def told(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with progress(console, 4.0) as advance:
        advance(1.0, "first half")
        advance(1.0, "second half")
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_elsewhere_than_on_a_terminal_it_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    assert not told(terminal=False)
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    assert told(terminal=False) == " 25%  first half\n 50%  second half\n"


def test_on_a_terminal_it_is_a_bar():
    assert "second half" in told(terminal=True)
