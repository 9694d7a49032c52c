"""Hand-made record batches, and a way to write them to the log without a client's checks."""

from __future__ import annotations

import struct
from random import Random

import cramjam
from aiokafka.client import AIOKafkaClient
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.errors import NotLeaderForPartitionError, UnknownTopicOrPartitionError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from devstack.kafka import LocalKafka

HEAD_BYTES = 61
CODECS = {1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}
# A new topic has no leader at first.
NO_LEADER_YET = (NotLeaderForPartitionError.errno, UnknownTopicOrPartitionError.errno)
HEADER_NAME = b"a-header"


def batch(*values: bytes, codec: int = 0, offset: int = 0) -> bytes:
    """Return a batch with one record per value, each with a header."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 40)
    for at, value in enumerate(values):
        builder.append(at, 1_700_000_000_000 + at, b"key", value, [(HEADER_NAME.decode(), b"1")])
    made = builder.build()
    struct.pack_into(">q", made, 0, offset)
    return bytes(made)


def sealed(head: bytes, records: bytes, codec: int) -> bytes:
    """Return a batch with the head of another and these record bytes, with a valid checksum."""
    made = bytearray(head[:HEAD_BYTES] + records)
    struct.pack_into(">i", made, 8, len(made) - 12)
    struct.pack_into(">h", made, 21, codec)
    struct.pack_into(">I", made, 17, calc_crc32c(bytes(made[21:])))
    return bytes(made)


def bomb(unpacked_bytes: int, packed_bytes: int = 0) -> bytes:
    """Return a zstd batch whose one record unpacks to about `unpacked_bytes`.

    The batch itself is little larger than `packed_bytes`.
    """
    noise = Random(7).randbytes(packed_bytes)
    body = b"\0\0\0" + _varint(3) + b"key" + _varint(unpacked_bytes) + noise
    zeros, rest = bytes(1 << 20), unpacked_bytes - len(noise)
    packer = cramjam.zstd.Compressor()
    packer.compress(_varint(len(body) + rest + 1) + body)
    for _ in range(rest >> 20):
        packer.compress(zeros)
    packer.compress(zeros[: rest % (1 << 20)] + b"\0")
    return sealed(batch(b"x"), bytes(packer.finish()), 4)


def batch_with_bad_header() -> bytes:
    """Return a batch with a header name that is not UTF-8, which brokers do not check."""
    whole = batch(b"bad header")
    return sealed(whole, whole[HEAD_BYTES:].replace(HEADER_NAME, b"\xff" * len(HEADER_NAME)), 0)


async def put(kafka: LocalKafka, topic: str, *batches: bytes) -> None:
    """Write the batches to partition 0 in order; fail if the broker rejects one."""
    client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap)
    await client.bootstrap()
    try:
        for each in batches:
            while (error := await _produce(client, topic, each)) in NO_LEADER_YET:
                pass
            assert error == 0
    finally:
        await client.close()


async def _produce(client: AIOKafkaClient, topic: str, batch: bytes) -> int:
    """Return the error code of the broker's response; 0 is success."""
    (broker,) = client.cluster.brokers()
    request = ProduceRequest(None, -1, 30_000, [(topic, [(0, batch)])])
    response = await client.send(broker.nodeId, request)
    ((_, ((_, error, *_),)),) = response.topics
    return int(error)


def _varint(value: int) -> bytes:
    """Return a non-negative number as a zigzag-encoded varint."""
    value, made = value << 1, bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*made, value))
