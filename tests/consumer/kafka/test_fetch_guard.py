"""Batches that nobody can read, on a real broker."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from batch_bytes import batch, bomb, nameless, put
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
READ_ALONG = ROOT / "tests/support/read_along.py"
_MEMORY_BYTES = 48 << 20  # what a reader may grow by, whatever comes

# --- when a garbled batch is given up


def test_the_same_bytes_again_and_again_lie_in_the_log() -> None:
    doubt = reread(None, 7, 1)
    for _ in range(IDENTICAL_READS - 1):
        assert not doubt.is_certain
        doubt = reread(doubt, 7, 1)
    assert doubt.is_certain


def test_other_bytes_each_time_come_from_the_way_there_and_are_read_again_for_a_while() -> None:
    doubt = None
    for reading in range(MAX_READS):
        assert doubt is None or not doubt.is_certain
        doubt = reread(doubt, 7, reading)
    assert doubt is not None
    assert doubt.is_certain


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1))
def test_another_place_is_another_doubt(met: list[tuple[int, int]]) -> None:
    doubt = None
    for offset, crc in met:
        before, doubt = doubt, reread(doubt, offset, crc)
        if before is None or before.offset != offset:
            assert doubt == GarbledBatch(offset, crc)


# --- on a real broker


async def read(kafka: str, topic: str, records: int) -> list[Record | UnreadableBatch]:
    settings = SourceSettings(kafka, f"{topic}-group", {topic: Lane.LIVE})
    met: list[Record | UnreadableBatch] = []
    async with KafkaSource(settings, Credentials(Security())) as source:
        while (await source.poll(ALL)).assigned is None:
            pass
        source.seek(Partition(topic, 0), 0)
        while len(met) < records:
            met += (await source.poll(ALL)).records
    return met


async def open_topic(kafka: LocalKafka, name: str) -> str:
    """As somebody else may have made it: batches are taken as they come."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        config = {"compression.type": "producer", "max.message.bytes": str(4 << 20)}
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=config)])
    finally:
        await admin.close()
    return name


async def test_bombs_are_passed_over_in_bounded_memory(kafka: LocalKafka, prefix: str) -> None:
    small, large = bomb(256 << 20), bomb(1 << 30, 1 << 20)
    assert len(small) < 10_000
    assert len(large) < 5 << 18
    topic = await open_topic(kafka, prefix)
    await put(kafka, topic, batch(b"0"), small, batch(b"2" * 99, b"3", codec=4), large, batch(b"5"))
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, str(READ_ALONG), kafka.bootstrap, topic, "6"),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await reader.communicate()
    *met, grown = out.decode().splitlines()
    assert met == [
        *("0 0 read", "1 1 batch_too_large", "2 2 read", "3 3 read", "4 4 batch_too_large"),
        "5 5 read",
    ]
    assert int(grown) < _MEMORY_BYTES


async def test_a_header_that_nobody_can_read_stops_nothing(kafka: LocalKafka, prefix: str) -> None:
    topic = await open_topic(kafka, prefix)
    await put(kafka, topic, batch(b"0"), nameless(), batch(b"2"))
    before, bad, behind = await read(kafka.bootstrap, topic, 3)
    assert (before.value, behind.value) == (b"0", b"2")
    assert isinstance(bad, UnreadableBatch)
    assert (bad.offset, bad.last_offset, bad.reason) == (1, 1, Reason.CORRUPT_BATCH)
    assert b"nameless" in bad.raw


async def test_what_the_disk_has_lost_is_passed_over(
    kafka: LocalKafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_guard, "REREAD_DELAY_S", 0.0)
    topic = await open_topic(kafka, prefix)
    await put(kafka, topic, batch(b"0"), batch(b"one", b"two", b"three"), batch(b"4"))
    kafka.damage(1, topic, 0, b"two")
    before, bad, behind = await read(kafka.bootstrap, topic, 3)
    assert (before.offset, behind.offset, behind.value) == (0, 4, b"4")
    assert isinstance(bad, UnreadableBatch)
    assert (bad.offset, bad.last_offset, bad.reason) == (1, 3, Reason.CORRUPT_BATCH)
    assert b"three" in bad.raw
    assert bad.timestamp_ms is None


async def test_what_the_network_garbles_is_read_again_and_nothing_is_lost(prefix: str) -> None:
    async with LocalKafka(links=("W1",)) as kafka, Link(kafka.routes("W1")) as link:
        topic = await open_topic(kafka, prefix)
        await put(kafka, topic, batch(b"0"), batch(b"to be garbled"), batch(b"2"))
        (proxy,) = link.proxies
        proxy.corrupt(b"to be garbled")
        met = await read(link.bootstrap, topic, 3)
        assert not proxy.is_armed
    assert [record.value for record in met] == [b"0", b"to be garbled", b"2"]
