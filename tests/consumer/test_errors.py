"""Error texts, when pickled and when printed."""

from __future__ import annotations

import pickle

import pytest

from consumer.errors import ConfigError, OutOfMemory, Retriable, SttError


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("no such file: base.pt"),
        ConfigError(["no such file: base.pt", "no such device: tpu"]),
        OutOfMemory("8 rows of 1500 positions"),
    ],
)
def test_an_error_survives_pickling(error: SttError):
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_a_config_error_prints_each_problem_on_a_line():
    assert str(ConfigError(iter(["first.", "second."]))) == "first.\nsecond."


def test_out_of_memory_is_retriable():
    assert issubclass(OutOfMemory, Retriable)
