from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from builders import PARTITION

from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.records import Record
from consumer.kafka.dead_letters import KEPT_BYTES, WHOLE_BYTES, dead_record


def letter(value: bytes | None) -> DeadLetter:
    record = Record(PARTITION, 7, 99, b"key", value, (("codec", b"what"),))
    return DeadLetter(record, "bad_payload", "why")


def test_a_batch_says_how_many_records_it_was():
    told = dict(dead_record(replace(letter(b"batch"), records=5), "worker:1").headers)
    assert (told["dlq.offset"], told["dlq.last_offset"], told["dlq.records"]) == (b"7", b"11", b"5")


@pytest.mark.parametrize("value", [None, b"", b"x" * WHOLE_BYTES])
def test_what_fits_comes_as_it_was(value: bytes | None):
    record = dead_record(letter(value), "worker:1")
    assert (record.key, record.value) == (b"key", value)
    assert record.headers[0] == ("codec", b"what")
    assert "dlq.sha256" not in dict(record.headers)


def test_what_does_not_fit_keeps_its_beginning_and_its_name():
    value = b"0123456789abcdef" * (WHOLE_BYTES // 16) + b"!"
    record = dead_record(letter(value), "worker:1")
    assert record.value == value[:KEPT_BYTES]
    assert dict(record.headers)["dlq.sha256"] == sha256(value).hexdigest().encode()
