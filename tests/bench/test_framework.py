from __future__ import annotations

import argparse
import io

import pytest
from rich.console import Console

from bench import framework
from bench.framework import BenchContext, machine


def shown(*, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with BenchContext(argparse.Namespace(), console).progress(4.0) as advance:
        advance(1.0, "first half")
        advance(1.0, "second half")
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    assert not shown(terminal=False)
    monkeypatch.setattr(framework, "LINE_EVERY_S", 0.0)
    assert shown(terminal=False) == " 25%  first half\n 50%  second half\n"


def test_on_a_terminal_progress_is_a_bar():
    assert "second half" in shown(terminal=True)


def test_the_machine_has_what_figures_depend_on():
    found = machine("fp32", threads=3, model="base")
    assert found["processor"]
    assert found["torch"]
    assert found["cores"] >= 1
    assert (found["dtype"], found["threads"], found["model"]) == ("fp32", 3, "base")
