from __future__ import annotations

from pathlib import Path

import pytest

import consumer
from bench.robustness.chaos.engine_faults import LOST
from bench.robustness.chaos.faults import FAULTS
from bench.robustness.chaos.log_faults import REREAD
from bench.robustness.chaos.operator_faults import HALTED, OPENED
from bench.robustness.chaos.worker_faults import BLOCKED

SERVICE = Path(consumer.__file__).parent


@pytest.mark.parametrize("line", [REREAD, HALTED, OPENED, BLOCKED, LOST])
def test_the_service_logs_the_lines_that_faults_wait_for(line: str) -> None:
    assert any(f'"{line}"' in file.read_text("utf-8") for file in SERVICE.rglob("*.py"))


def test_the_faults_cover_their_rows_of_the_fault_matrix() -> None:
    assert {fault.row for fault in FAULTS.values()} == {*range(1, 12), 13, *range(16, 21), 22}
