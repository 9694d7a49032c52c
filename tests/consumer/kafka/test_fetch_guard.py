"""Unreadable batches, on a real broker."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from batch_bytes import batch, batch_with_bad_header, bomb, put
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.streams.records import Lane, Partition, Record, UnreadableBatch
from consumer.kafka import fetch_guard
from consumer.kafka.fetch_guard import IDENTICAL_READS, MAX_READS, GarbledBatch, reread
from consumer.kafka.source import KafkaSource, SourceSettings
from devstack.kafka import LocalKafka
from devstack.proxy import Link
from schemas.errors import Reason
from transport.credentials import Credentials
from transport.security import Security

ALL = frozenset(Lane)
ROOT = Path(__file__).parents[3]
TAIL_READER = ROOT / "tests/support/tail_reader.py"
_MEMORY_BYTES = 48 << 20  # growth allowed to a reader

# --- when a garbled batch is skipped


def test_identical_bytes_in_a_row_are_certain() -> None:
    garbled = reread(None, 7, 1)
    for _ in range(IDENTICAL_READS - 1):
        assert not garbled.is_certain
        garbled = reread(garbled, 7, 1)
    assert garbled.is_certain


def test_varying_bytes_are_certain_after_the_maximum_of_reads() -> None:
    garbled = None
    for reading in range(MAX_READS):
        assert garbled is None or not garbled.is_certain
        garbled = reread(garbled, 7, reading)
    assert garbled is not None
    assert garbled.is_certain


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1))
def test_another_offset_starts_a_new_count(reads: list[tuple[int, int]]) -> None:
    garbled = None
    for offset, crc in reads:
        before, garbled = garbled, reread(garbled, offset, crc)
        if before is None or before.offset != offset:
            assert garbled == GarbledBatch(offset, crc)


# --- on a real broker


async def read(kafka: str, topic: str, records: int) -> list[Record | UnreadableBatch]:
    settings = SourceSettings(kafka, f"{topic}-group", {topic: Lane.LIVE})
    found: list[Record | UnreadableBatch] = []
    async with KafkaSource(settings, Credentials(Security())) as source:
        while (await source.poll(ALL)).assigned is None:
            pass
        source.seek(Partition(topic, 0), 0)
        while len(found) < records:
            found += (await source.poll(ALL)).records
    return found


async def open_topic(kafka: LocalKafka, name: str) -> str:
    """Create a topic that stores batches as they are sent, unlike the worker's topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        config = {"compression.type": "producer", "max.message.bytes": str(4 << 20)}
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config)])
    finally:
        await admin.close()
    return name


async def test_decompression_bombs_are_skipped_in_bounded_memory(
    kafka: LocalKafka, prefix: str
) -> None:
    small, large = bomb(256 << 20), bomb(1 << 30, 1 << 20)
    assert len(small) < 10_000
    assert len(large) < 5 << 18
    topic = await open_topic(kafka, prefix)
    await put(kafka, topic, batch(b"0"), small, batch(b"2" * 99, b"3", codec=4), large, batch(b"5"))
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, str(TAIL_READER), kafka.bootstrap, topic, "6"),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await reader.communicate()
    *found, grown = out.decode().splitlines()
    assert found == [
        *("0 0 read", "1 1 batch_too_large", "2 2 read", "3 3 read", "4 4 batch_too_large"),
        "5 5 read",
    ]
    assert int(grown) < _MEMORY_BYTES


async def test_a_record_header_that_is_not_utf8_does_not_stop_the_partition(
    kafka: LocalKafka, prefix: str
) -> None:
    topic = await open_topic(kafka, prefix)
    await put(kafka, topic, batch(b"0"), batch_with_bad_header(), batch(b"2"))
    before, bad, after = await read(kafka.bootstrap, topic, 3)
    assert (before.value, after.value) == (b"0", b"2")
    assert isinstance(bad, UnreadableBatch)
    assert (bad.offset, bad.last_offset, bad.reason) == (1, 1, Reason.CORRUPT_BATCH)
    assert b"bad header" in bad.raw


async def test_a_batch_damaged_on_disk_is_skipped(
    kafka: LocalKafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_guard, "REREAD_DELAY_S", 0.0)
    topic = await open_topic(kafka, prefix)
    await put(kafka, topic, batch(b"0"), batch(b"one", b"two", b"three"), batch(b"4"))
    kafka.damage(1, topic, 0, b"two")
    before, bad, after = await read(kafka.bootstrap, topic, 3)
    assert (before.offset, after.offset, after.value) == (0, 4, b"4")
    assert isinstance(bad, UnreadableBatch)
    assert (bad.offset, bad.last_offset, bad.reason) == (1, 3, Reason.CORRUPT_BATCH)
    assert b"three" in bad.raw
    assert bad.timestamp_ms is None


async def test_a_batch_garbled_by_the_network_is_read_again(kafka: LocalKafka, prefix: str) -> None:
    async with Link(kafka.routes("link")) as link:
        topic = await open_topic(kafka, prefix)
        await put(kafka, topic, batch(b"0"), batch(b"to be garbled"), batch(b"2"))
        (proxy,) = link.proxies
        proxy.corrupt(b"to be garbled")
        found = await read(link.bootstrap, topic, 3)
        assert not proxy.is_armed
    assert [record.value for record in found] == [b"0", b"to be garbled", b"2"]
