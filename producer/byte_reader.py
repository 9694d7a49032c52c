"""Read a file, a pipe or a device from its first byte to its last, without seeking."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Final

from schemas.ogg import LONGEST_PAGE

_READ_BYTES: Final = 64 << 10
_TAIL_BYTES: Final = LONGEST_PAGE
_POLL_MS: Final = 100  # after which a reader looks whether to stop


class ByteReader:
    """Reads a descriptor, which it does not close; a part of it may be looked at in advance.

    `tail` keeps the last bytes that were read. Reads block until there is some data; once `stopped`
    returns true, they end.
    """

    def __init__(self, descriptor: int, stopped: Callable[[], bool]) -> None:
        self._descriptor, self._stopped = descriptor, stopped
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._ahead = b""
        self._ended = False
        self.position = 0  # bytes that were read
        self.tail = b""

    def peek(self, size: int) -> bytes:
        """Return the next bytes without reading them; fewer only at the end."""
        while len(self._ahead) < size and not self._ended:
            self._fill()
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """Return some of the next bytes, none only at the end."""
        while not self._ahead and not self._ended:
            self._fill()
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        self.position += len(data)
        self.tail = (self.tail + data)[-_TAIL_BYTES:]
        return data

    def skip(self, end: int) -> None:
        """Read up to this byte, or to the end."""
        while self.position < end and self.read(min(end - self.position, _READ_BYTES)):
            pass

    def _fill(self) -> None:
        while not self._poll.poll(_POLL_MS):
            if self._stopped():
                self._ended = True
                return
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:  # another process has taken it
            return
        self._ended = not data or self._stopped()
        self._ahead += data


class Section:
    """What remains of a reader up to a byte, as a file that cannot seek."""

    def __init__(self, reader: ByteReader, end: int | None) -> None:
        self._reader, self._end = reader, end

    def read(self, size: int) -> bytes:
        if self._end is not None:
            size = min(size, self._end - self._reader.position)
        return self._reader.read(size) if size else b""
