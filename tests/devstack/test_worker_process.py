from __future__ import annotations

from pathlib import Path

import pytest

from devstack.errors import DevstackError
from devstack.worker_process import WorkerProcess, describe_exit


async def test_a_worker_that_ends_is_told_with_the_end_of_its_log(tmp_path: Path):
    with pytest.raises(DevstackError) as failed:
        async with WorkerProcess({"rate": "5"}, tmp_path / "worker.log"):
            pass
    said = str(failed.value)
    assert "the worker ended with 2" in said
    assert "  | streamscribe worker: STREAMSCRIBE_RATE: must be" in said
    assert str(tmp_path / "worker.log") in said


@pytest.mark.parametrize(
    ("code", "said"),
    [(1, "ended with 1"), (-15, "was ended by SIGTERM"), (-9, "was killed (SIGKILL")],
)
def test_how_it_ended_is_told_in_words(code: int, said: str):
    assert describe_exit(code).startswith(said)
