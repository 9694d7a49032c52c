from __future__ import annotations

from pathlib import Path

from bench.robustness.chaos.worker_control import WorkerControl


def test_both_processes_see_the_values_and_a_reset(tmp_path: Path) -> None:
    run = WorkerControl.create(tmp_path / "control")
    worker = WorkerControl.open(tmp_path / "control")
    assert (worker.slowness, worker.hangs, worker.max_rows) == (1, False, 0)
    run.hangs, run.die_at = True, b"end-answered"
    assert (worker.hangs, worker.die_at) == (True, b"end-answered")
    run.reset()
    assert (worker.slowness, worker.hangs, worker.die_at) == (1, False, b"")
