from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from evaluation.report import (
    Check,
    Figures,
    Sense,
    as_json,
    figure_tables,
    prefixed,
    publish,
    section,
)


@pytest.mark.parametrize(
    ("value", "sense", "ok"),
    [
        (2.0, Sense.AT_MOST, True),
        (2.1, Sense.AT_MOST, False),
        (2.0, Sense.AT_LEAST, True),
        (1.9, Sense.AT_LEAST, False),
    ],
)
def test_a_check_passes_on_its_side_of_the_limit_and_at_it(value: float, sense: Sense, ok: bool):
    assert Check("", value, 2.0, sense).ok is ok


def test_a_check_is_printed_with_value_and_limit():
    assert str(Check("en WER", 0.0761, 0.15)) == "  ok    en WER: 0.0761 (at most 0.15)"
    assert str(Check("RTFx", 3.0, 7.0, Sense.AT_LEAST)) == "  FAIL  RTFx: 3 (at least 7)"
    assert str(Check("p95", 3.0, 2.5, required=False)).startswith("  slow  p95")


def test_the_json_has_figures_and_checks():
    assert as_json({"rtfx": 3.5}, [Check("rtfx", 3.5, 7.0, Sense.AT_LEAST)]) == {
        "figures": {"rtfx": 3.5},
        "checks": [{"name": "rtfx", "value": 3.5, "limit": 7.0, "ok": False}],
    }


def test_published_results_are_printed_and_written(tmp_path: Path):
    console = Console(file=io.StringIO(), width=200)
    publish(
        console, tmp_path / "x.json", {"cores": 2, "gpu": None}, {"a_mb": 1}, [Check("a", 1, 2)]
    )

    assert console.file.getvalue() == "  ok    a: 1 (at most 2)\non: cores 2\n"  # type: ignore[attr-defined]
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "machine": {"cores": 2, "gpu": None},
        "figures": {"a_mb": 1},
        "checks": [{"name": "a", "value": 1, "limit": 2, "ok": True}],
    }


def shown(figures: Figures) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=200)
    for each in figure_tables(figures):
        console.print(each)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return [line.split() for line in lines if line.strip() and "─" not in line]


def test_figures_of_the_same_names_share_a_table():
    figures: Figures = {
        "en.wer": 0.0123,
        "en.n": 2,
        "zh.wer": None,
        "zh.n": 1234,
        "a 0.5: p95": 512.3,
    }
    assert shown(figures) == [
        ["wer", "n"],
        ["en", "0.0123", "2"],
        ["zh", "-", "1234"],
        ["p95"],
        ["a", "0.5", "512"],
    ]


def test_many_figures_are_rows():
    names = [f"a_name_with_unit_{number}_s" for number in range(8)]
    figures: Figures = {f"{prefix}.{name}": 1 for prefix in "ab" for name in names}
    assert shown(figures) == [["a", "b"], *([name, "1", "1"] for name in names)]


def test_a_section_is_what_a_prefix_added():
    figures: Figures = {"a": 1, "b.c": 2}
    assert section(prefixed("x.", figures) | {"y.z": 3}, "x.") == figures


def test_extremes_are_shown_with_their_figure():
    rounds: Figures = {"a.rtfx": 50, "a.rtfx_low": 40, "a.rtfx_high": 60}
    assert shown(rounds) == [["rtfx"], ["a", "50", "(40-60)"]]
    assert shown({"a.x_low": 1}) == [["x_low"], ["a", "1"]]
