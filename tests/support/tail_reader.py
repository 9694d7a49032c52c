"""A program that reads partition 0 of a topic as a worker does, and measures its memory.

`tail_reader.py BOOTSTRAP TOPIC RECORDS` prints one line per record or unreadable batch (offset,
last offset, "read" or the reason), then the bytes by which its peak memory has grown.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import structlog

from consumer.core.streams.records import Lane, Partition, UnreadableBatch
from consumer.kafka.source import KafkaSource, SourceSettings
from transport.credentials import Credentials
from transport.security import Security


def peak_memory_bytes() -> int:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) << 10


async def main(bootstrap: str, topic: str, records: int) -> None:
    settings = SourceSettings(bootstrap, f"{topic}-group", {topic: Lane.LIVE})
    async with KafkaSource(settings, Credentials(Security())) as source:
        while (await source.poll(frozenset(Lane))).assigned is None:
            pass
        before = peak_memory_bytes()
        source.seek(Partition(topic, 0), 0)
        while records > 0:
            for record in (await source.poll(frozenset(Lane))).records:
                result = record.reason if isinstance(record, UnreadableBatch) else "read"
                sys.stdout.write(f"{record.offset} {record.next_offset - 1} {result}\n")
                records -= 1
        sys.stdout.write(f"{peak_memory_bytes() - before}\n")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
