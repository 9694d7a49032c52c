"""The command on a real broker with real workers and the stub engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.scale.cpu_parts import PARTS


@pytest.mark.broker
def test_every_final_comes_once_and_all_time_is_of_some_part(run_bench: Callable[..., Any]):
    line = "--streams 4,8 --ingest 2 --minutes 0.15 --warm-up-s 3 --clips 2 --partials on"
    measured = run_bench(f"scale {line}")
    figures = measured["figures"]
    for streams in (4, 8):
        found = {
            name.removeprefix(f"{streams} streams: "): value
            for name, value in figures.items()
            if name.startswith(f"{streams} streams: ")
        }
        assert found["finals"] > 0
        assert found["finals missing"] == found["finals unexpected"] == 0
        assert found["added p95_ms"] >= found["added p50_ms"] > 0
        assert found["cpu detect_ms"] > 0
        assert sum(found[f"cpu {part}_ms"] for part in {*PARTS.values()}) > 0
        assert found["cpu ingest_ms"] > found["cpu detect_ms"] > 0
        assert found["loop lag max_ms"] >= found["loop lag p95_ms"]
    checks = {check["name"]: check for check in measured["checks"]}
    assert checks["8 streams: finals unexpected"]["ok"]
