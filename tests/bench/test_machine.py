from __future__ import annotations

from bench.machine import machine


def test_the_machine_names_what_figures_depend_on():
    told = machine("fp32", threads=3)
    assert told["processor"]
    assert told["torch"]
    assert told["cores"] >= 1
    assert (told["dtype"], told["threads"]) == ("fp32", 3)
