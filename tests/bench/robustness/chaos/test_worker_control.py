from __future__ import annotations

from pathlib import Path

from bench.robustness.chaos.worker_control import WorkerControl


def test_both_processes_see_the_values_and_a_reset(tmp_path: Path) -> None:
    run = WorkerControl.create(tmp_path / "control")
    worker = WorkerControl.open(tmp_path / "control")
    assert (worker.mode.slowness, worker.mode.hangs, worker.mode.max_rows) == (1, False, 0)
    run.mode.hangs, run.die_at, run.block_s = True, b"end-answered", 15
    assert (worker.mode.hangs, worker.die_at, worker.block_s) == (True, b"end-answered", 15)
    run.reset()
    assert (worker.mode.slowness, worker.mode.hangs) == (1, False)
    assert (worker.die_at, worker.block_s) == (b"", 0)
