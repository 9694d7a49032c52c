"""Proof that a record was read before: its number and its bytes are among those read last.

A lower number alone proves nothing. A publisher that was restarted begins its numbers anew, and a
second publisher may use the same stream id.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar

from consumer.core.streams.chunks import Chunk, identity
from consumer.core.streams.state import Digest

KeyT = TypeVar("KeyT")

_DIGEST_OF: Final = attrgetter("digest")

RECENT: Final = 256  # records of a stream that are remembered


class _Read(NamedTuple):
    offset: int
    digest: Digest | None  # None: a record without a number, or an unusable one


def number(chunk: Chunk) -> int | None:
    """Return what numbers the record: `seq`, else `start`, else None."""
    return chunk.audio.start if chunk.audio.seq is None else chunk.audio.seq


def digest(chunk: Chunk) -> Digest | None:
    """Return the record's number and a CRC-32 of its run and identity; None: it has no number."""
    stated = number(chunk)
    if stated is None:
        return None
    return stated, zlib.crc32(f"{chunk.audio.run} {identity(chunk)}".encode())


class RecentRecords:
    """The digests of the last `RECENT` records of a stream, in the order of reading.

    Earlier ones are kept until `before` has passed them, as the state of a cut includes them.
    """

    def __init__(self, digests: Iterable[Digest] = ()) -> None:
        self._reads: deque[_Read] = deque(_Read(-1, each) for each in digests)
        self._digests: dict[Digest, int] = {}  # how often each was read
        self._numbers: dict[int, int] = {}
        for read in self._reads:
            self._count(read, 1)

    def __contains__(self, wanted: Digest | None) -> bool:
        return wanted in self._digests

    def has_number(self, wanted: int) -> bool:
        """Return whether a record of that number was read."""
        return wanted in self._numbers

    def covers(self, wanted: int) -> bool:
        """Return whether a record of that number, if it was read, is remembered."""
        return any(stated <= wanted for stated in self._numbers)

    def append(self, offset: int, read: Digest | None) -> None:
        """Remember the record at `offset`; the oldest one no longer counts."""
        newest = _Read(offset, read)
        self._reads.append(newest)
        self._count(newest, 1)
        if len(self._reads) > RECENT:
            self._count(self._reads[-RECENT - 1], -1)

    def before(self, offset: int | None) -> tuple[Digest, ...]:
        """Return the digests as of before the record at `offset` was read; None: as of now.

        `offset` never goes back in the order of reading.
        """
        reads = self._reads
        end = len(reads) if offset is None else self._count_before(offset)
        for _ in range(end - RECENT):
            reads.popleft()
        return tuple(filter(None, map(_DIGEST_OF, islice(reads, min(end, RECENT)))))

    def _count_before(self, offset: int) -> int:
        """Return the number of reads before the one at `offset`, which is likely to be recent."""
        newest_first = enumerate(reversed(self._reads), start=1)
        later = next((count for count, read in newest_first if read.offset == offset), 0)
        end = len(self._reads) - later
        while later and end and self._reads[end - 1].offset == offset:
            end -= 1  # a refused record that was held back is noted twice
        return end

    def _count(self, read: _Read, by: int) -> None:
        if read.digest is None:
            return
        _add(self._digests, read.digest, by)
        _add(self._numbers, read.digest[0], by)


def _add(counts: dict[KeyT, int], key: KeyT, by: int) -> None:
    count = counts.get(key, 0) + by
    if count:
        counts[key] = count
    else:
        del counts[key]
