from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producer.byte_reader import ByteReader, Section


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.lists(st.tuples(st.booleans(), st.integers(1, 50))))
def test_bytes_are_read_once_and_in_order(
    tmp_path: Path, data: bytes, calls: list[tuple[bool, int]]
) -> None:
    path = tmp_path / "data"
    path.write_bytes(data)
    with path.open("rb") as file:
        reader = ByteReader(file.fileno(), lambda: False)
        read = b""
        for peeks, size in calls:
            if peeks:
                assert reader.peek(size) == data[len(read) : len(read) + size]
            else:
                read += reader.read(size)
            assert reader.position == len(read)
        assert data.startswith(read)
        assert reader.tail == read


def test_a_section_ends_before_the_bytes_that_follow() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"first second")
    os.close(writing)
    reader = ByteReader(reading, lambda: False)
    section = Section(reader, 5)
    assert (section.read(100), section.read(100)) == (b"first", b"")
    reader.skip(6)
    assert Section(reader, None).read(100) == b"second"
    assert reader.read(1) == b""
    os.close(reading)


def test_a_read_without_data_ends_once_it_is_stopped() -> None:
    reading, writing = os.pipe()
    assert ByteReader(reading, lambda: True).read(1) == b""
    os.close(writing)
    os.close(reading)
