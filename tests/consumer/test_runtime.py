from __future__ import annotations

import subprocess
import sys

from consumer.runtime import SHARING, share_the_machine


def test_what_the_operator_set_stays():
    environ = {"GOMP_SPINCOUNT": "5"}
    share_the_machine(environ)
    assert environ == SHARING | {"GOMP_SPINCOUNT": "5"}


def test_it_is_there_before_torch():
    code = "import sys, consumer.__main__, consumer.runtime; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
