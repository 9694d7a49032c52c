"""Put the numbered messages of a connection in order. Pure."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

Message = TypeVar("Message")
WINDOW: Final = 5  # messages that are held back for a missing one: 100 ms of one telephone track


class MessageOrder(Generic[Message]):
    """Returns messages in the order of their numbers, each once.

    A missing message is given up once more than `window` later ones are held back. A repeat is
    dropped, and so is a message that arrives after it was given up.
    """

    def __init__(self, first: int, window: int = WINDOW) -> None:
        """`first`: the number of the first message."""
        self._next = first
        self._window = window
        self._early: dict[int, Message] = {}  # held back, by number

    def push(self, number: int, message: Message) -> list[Message]:
        """Return the messages that are next, if this one is among them or is one too many."""
        if number >= self._next:
            self._early.setdefault(number, message)
        if len(self._early) > self._window:
            self._next = min(self._early)
        return self._take()

    def rest(self) -> list[Message]:
        """Return the messages that are held back: no others will come."""
        ready = [self._early[number] for number in sorted(self._early)]
        self._early.clear()
        return ready

    def _take(self) -> list[Message]:
        ready = []
        while self._next in self._early:
            ready.append(self._early.pop(self._next))
            self._next += 1
        return ready
