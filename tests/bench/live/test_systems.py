from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bench.framework import measure
from bench.live.systems import peer_engines, systems


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
