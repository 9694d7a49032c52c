"""The records of one input that may be read again: what Kafka keeps for a worker. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from consumer.core.streams.records import Record


class RecordLog:
    """Records in the order of their offsets, from the first that may be needed.

    `position` is the offset to be read next; None: nothing is read until the next `seek`.
    """

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self.end = 0  # offset of the next record to be appended
        self.position: int | None = None

    def __len__(self) -> int:
        return len(self._records)

    @property
    def unread(self) -> int:
        """The number of records that are still to be read."""
        return self.end - (self._first if self.position is None else self.position)

    def append(self, records: Iterable[Record]) -> None:
        """Append records, whose offsets continue those before. Raises ValueError otherwise."""
        for record in records:
            if record.offset != self.end:
                raise ValueError(f"offset {record.offset} does not follow {self.end - 1}")
            self._records.append(record)
            self.end = record.next_offset

    def take(self, most: int) -> list[Record]:
        """Return up to `most` records from the position on, and move it behind them."""
        if self.position is None:
            return []
        begin = self.position - self._first
        taken = list(islice(self._records, begin, begin + most))
        self.position += len(taken)
        return taken

    def seek(self, offset: int) -> None:
        """Read from `offset` on. Raises ValueError if its record is not kept any more."""
        if not self._first <= offset <= self.end:
            raise ValueError(f"offset {offset} is not within {self._first} to {self.end}")
        self.position = offset

    def pause(self) -> None:
        """Read nothing until the next `seek`."""
        self.position = None

    def trim(self, offset: int) -> None:
        """Drop the records before `offset`: none of them is needed any more."""
        while self._records and self._records[0].offset < offset:
            self._records.popleft()

    @property
    def _first(self) -> int:
        return self.end - len(self._records)
