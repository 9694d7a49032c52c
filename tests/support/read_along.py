"""A process that reads partition 0 of a topic from its beginning: what it met, and its memory.

read_along.py BOOTSTRAP TOPIC RECORDS -> offset, last offset, reason a line, then bytes grown
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


def peak_bytes() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10


async def main(bootstrap: str, topic: str, records: int) -> None:
    settings = SourceSettings(bootstrap, f"{topic}-group", {topic: Lane.LIVE})
    async with KafkaSource(settings, Credentials(Security())) as source:
        while (await source.poll(frozenset(Lane))).assigned is None:
            pass
        before = peak_bytes()
        source.seek(Partition(topic, 0), 0)
        while records > 0:
            for record in (await source.poll(frozenset(Lane))).records:
                skipped = isinstance(record, UnreadableBatch)
                reason = record.reason if skipped else "read"
                sys.stdout.write(f"{record.offset} {record.next_offset - 1} {reason}\n")
                records -= 1
        sys.stdout.write(f"{peak_bytes() - before}\n")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
