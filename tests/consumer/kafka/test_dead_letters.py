from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from builders import PARTITION

from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.records import Record
from consumer.kafka.dead_letters import KEPT_BYTES, WHOLE_BYTES, dead_record
from schemas.audio import StreamOptions


def letter(value: bytes | None) -> DeadLetter:
    record = Record(PARTITION, 7, 99, b"key", value, (("codec", b"what"),))
    return DeadLetter(record, "bad_payload", "why")


def test_the_dead_letter_of_a_batch_has_its_offsets_and_number_of_records():
    headers = dict(dead_record(replace(letter(b"batch"), records=5), "worker:1").headers)
    assert (headers["dlq.offset"], headers["dlq.last_offset"]) == (b"7", b"11")
    assert headers["dlq.records"] == b"5"


def test_the_options_of_the_session_are_beside_the_original_headers():
    options = StreamOptions(languages=("de", "en"), prompt="你好", words=False)
    record = dead_record(replace(letter(b""), options=options), "worker:1")
    assert record.headers[0] == ("codec", b"what")
    added = {name: value for name, value in record.headers if name.startswith("dlq.option.")}
    assert added == {
        "dlq.option.language": b"de,en",
        "dlq.option.prompt": "你好".encode(),
        "dlq.option.words": b"0",
    }


@pytest.mark.parametrize("value", [None, b"", b"x" * WHOLE_BYTES])
def test_a_value_that_fits_is_kept_whole(value: bytes | None):
    record = dead_record(letter(value), "worker:1")
    assert (record.key, record.value) == (b"key", value)
    assert record.headers[0] == ("codec", b"what")
    assert "dlq.sha256" not in dict(record.headers)


def test_a_larger_value_is_cut_and_its_digest_is_kept():
    value = b"0123456789abcdef" * (WHOLE_BYTES // 16) + b"!"
    record = dead_record(letter(value), "worker:1")
    assert record.value == value[:KEPT_BYTES]
    assert dict(record.headers)["dlq.sha256"] == sha256(value).hexdigest().encode()
