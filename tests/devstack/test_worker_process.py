from __future__ import annotations

from pathlib import Path

import pytest

from devstack.errors import DevstackError
from devstack.worker_process import WorkerProcess, describe_exit


async def test_a_worker_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path):
    with pytest.raises(DevstackError) as raised:
        async with WorkerProcess({"rate": "5"}, tmp_path / "worker.log"):
            pass
    message = str(raised.value)
    assert "the worker ended with 2" in message
    assert "  | streamscribe worker: STREAMSCRIBE_RATE: must be" in message
    assert str(tmp_path / "worker.log") in message


@pytest.mark.parametrize(
    ("code", "message"),
    [(1, "ended with 1"), (-15, "was ended by SIGTERM"), (-9, "was killed (SIGKILL")],
)
def test_an_exit_status_is_described_in_words(code: int, message: str):
    assert describe_exit(code).startswith(message)
