from __future__ import annotations

import os
import subprocess
import sys

from consumer.process_tuning import HELD, SHARING, limit_spinning


def test_variables_set_by_the_operator_are_kept():
    environ = {"GOMP_SPINCOUNT": "5"}
    limit_spinning(environ)
    assert environ == SHARING | {"GOMP_SPINCOUNT": "5"}


def test_importing_the_command_does_not_load_torch():
    code = (
        "import sys, consumer.__main__, consumer.process_tuning; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def kept_mb(environ: dict[str, str]) -> float:
    """Return how much of 20 MB a process keeps after it has freed them."""
    code = """
import os
import numpy as np
from bench.engine.memory import resident
from consumer.process_tuning import retain_memory

retain_memory(os.environ)
before = resident().now_mb
freed = np.ones(2_500_000)
del freed
print(resident().now_mb - before)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, env=os.environ | environ
    )
    return float(ran.stdout)


def test_freed_memory_is_kept_by_the_process():
    assert kept_mb({}) > 15


def test_freed_memory_is_returned_where_the_operator_has_set_the_thresholds():
    assert kept_mb(dict.fromkeys(HELD, "1000000")) < 5
