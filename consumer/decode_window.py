"""The decode window: fetched records of one partition until they are read, in offset order.

    push -> [ waiting | being decoded | decoded ] -> take

Raw audio is decoded when it is taken. Containers are decoded in the sandbox, a few at a time ahead
of the first unread record. A record of an unknown stream is decoded only once it is the first: its
admission depends on all records before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, Self, TypeAlias

from consumer.core.partition.step import IncomingRecord, RejectedRecord
from consumer.core.streams.records import Record, UnreadableBatch
from consumer.interfaces import Codecs

MAX_RECORDS: Final = 1_000
MAX_BYTES: Final = 8 << 20  # of undecoded payloads; one record alone may have more
AHEAD: Final = 2  # containers decoded at a time

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class AdmissionCheck(Protocol):
    """The admission of records before they are decoded, by the partition task."""

    def is_known(self, record: Record) -> bool:
        """Return whether the record's stream is known."""

    def admit(self, record: Record) -> RejectedRecord | None:
        """Return why the next record must not be decoded, or None."""


@dataclass(slots=True)
class _Item:
    record: Record | UnreadableBatch
    result: IncomingRecord | None  # None: not yet
    size: int  # bytes of its payload
    task: asyncio.Task[None] | None = None  # decodes it

    @classmethod
    def of(cls, record: Record | UnreadableBatch) -> Self:
        if isinstance(record, UnreadableBatch):
            return cls(record, record, 0)
        return cls(record, None, len(record.value or b""))


class DecodeWindow:
    """The fetched records of one partition, in offset order, while containers are decoded ahead.

    `on_decoded` is called after each decode of a container: `take` may return more.
    """

    def __init__(self, codecs: Codecs, spawn: Spawn, on_decoded: Callable[[], None]) -> None:
        self._codecs = codecs
        self._spawn = spawn
        self._on_decoded = on_decoded
        self._items: deque[_Item] = deque()
        self._bytes = 0

    @property
    def is_empty(self) -> bool:
        return not self._items

    @property
    def has_room(self) -> bool:
        """Whether the window is at most half full."""
        return len(self._items) <= MAX_RECORDS // 2 and self._bytes <= MAX_BYTES // 2

    def push(self, records: Iterable[Record | UnreadableBatch]) -> int | None:
        """Append records; return the first offset without room, or None."""
        for record in records:
            if len(self._items) >= MAX_RECORDS or self._bytes >= MAX_BYTES:
                return record.offset
            item = _Item.of(record)
            self._items.append(item)
            self._bytes += item.size
        return None

    def take(self, admission: AdmissionCheck) -> list[IncomingRecord]:
        """Return the decoded records at the front, in offset order.

        To be called until it returns none: it stops before each record of an unknown stream.
        """
        taken: list[IncomingRecord] = []
        while self._items:
            item = self._items[0]
            if item.result is None and item.task is None:
                if taken and not self._is_known(item, admission):
                    break
                self._begin(item, admission)
            if item.result is None:
                break
            taken.append(item.result)
            self._items.popleft()
            self._bytes -= item.size
        self._begin_ahead(admission)
        return taken

    def close(self) -> None:
        """Drop everything."""
        for item in self._items:
            if item.task is not None:
                item.task.cancel()
        self._items.clear()
        self._bytes = 0

    def _begin_ahead(self, admission: AdmissionCheck) -> None:
        """Begin to decode containers of known streams after the first one."""
        for item in self._waiting():
            if not self._is_known(item, admission):
                return
            self._begin(item, admission)

    def _waiting(self) -> Iterator[_Item]:
        """Yield the items after the first that may be decoded ahead of it."""
        ahead = islice(self._items, AHEAD)
        return (item for item in ahead if item.result is None and item.task is None)

    def _is_known(self, item: _Item, admission: AdmissionCheck) -> bool:
        return isinstance(item.record, UnreadableBatch) or admission.is_known(item.record)

    def _begin(self, item: _Item, admission: AdmissionCheck) -> None:
        record = item.record
        assert isinstance(record, Record)
        item.result = admission.admit(record) or self._codecs.read(record)
        if item.result is None:
            item.task = self._spawn(self._decode(item, record))

    async def _decode(self, item: _Item, record: Record) -> None:
        item.result = await self._codecs.decode(record)
        self._on_decoded()
