from __future__ import annotations

import os
import subprocess
import sys

from consumer.process_tuning import HELD, SHARING, limit_spinning


def test_what_the_operator_set_stays():
    environ = {"GOMP_SPINCOUNT": "5"}
    limit_spinning(environ)
    assert environ == SHARING | {"GOMP_SPINCOUNT": "5"}


def test_it_is_there_before_torch():
    code = (
        "import sys, consumer.__main__, consumer.process_tuning; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def kept_mb(environ: dict[str, str]) -> float:
    """Of 20 MB that were freed, in a process of its own."""
    code = """
import os
import numpy as np
from bench.memory import resident
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


def test_what_a_batch_frees_is_kept_for_the_next():
    assert kept_mb({}) > 15


def test_unless_the_operator_set_it():
    assert kept_mb(dict.fromkeys(HELD, "1000000")) < 5
