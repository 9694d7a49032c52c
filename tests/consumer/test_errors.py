"""Errors cross process borders and reach people: both must keep every word."""

from __future__ import annotations

import pickle

import pytest

from consumer.errors import BadRecord, ConfigError, OutOfMemory, Retriable, SttError


@pytest.mark.parametrize(
    "error",
    [
        BadRecord("codec_unknown", "codec 'g722' is not one of pcm_s16le, flac"),
        ConfigError("no such file: base.pt"),
        ConfigError(["no such file: base.pt", "no such device: tpu"]),
        OutOfMemory("8 rows of 1500 positions"),
    ],
)
def test_survives_pickling(error: SttError):
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_config_error_tells_all_problems_a_line_each():
    assert str(ConfigError(iter(["first.", "second."]))) == "first.\nsecond."


def test_bad_record_shows_code_and_message():
    assert str(BadRecord("key_missing", "a record needs a key")) == (
        "key_missing: a record needs a key"
    )


def test_out_of_memory_may_be_tried_again():
    assert issubclass(OutOfMemory, Retriable)
