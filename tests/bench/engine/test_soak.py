from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.engine.soak import MemorySeries, checks, figures
from evaluation.samples import SAMPLES

FLAT = MemorySeries(500.0, (1_000.0, 1_010.0, 1_004.0), 90.0, 60.0)


def test_the_spread_of_flat_memory_is_small():
    assert FLAT.spread == pytest.approx(10 / 1_004)
    assert FLAT.held_mb == 510
    assert [check.ok for check in checks(FLAT, "base")] == [True, True]


def test_growth_fails_the_checks():
    grown = MemorySeries(500.0, (1_000.0, 1_300.0, 1_600.0), 90.0, 60.0)
    assert [check.ok for check in checks(grown, "base")] == [False, False]


def test_only_base_has_a_memory_limit():
    assert [check.name for check in checks(FLAT, "turbo")] == ["spread"]


def test_figures_have_first_last_and_extreme_values():
    found = figures(FLAT)
    assert (found["first_mb"], found["last_mb"]) == (1_000, 1_004)
    assert (found["least_mb"], found["most_mb"], found["batches"]) == (1_000, 1_010, 3)


def test_it_decodes_until_the_time_is_over(run_bench: Callable[..., Any], tiny_en_weights: Path):
    line = "soak --minutes 0.01 --threads 1"
    found = run_bench(line, model=tiny_en_weights, data=SAMPLES)["figures"]
    assert found["wall_s"] >= 0.6
    assert found["audio_s"] > 0
    assert found["held_mb"] > 30  # the weights alone
