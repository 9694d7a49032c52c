"""Dead letters: what a record of `speech.audio.dlq.v1` says, and how it goes back. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, NamedTuple

from aiokafka import ConsumerRecord

from schemas.audio import MAX_HEADER_BYTES, MAX_RECORD_BYTES
from schemas.topics import MAX_STREAM_ID_CHARACTERS, valid_stream_id

PREFIX: Final = "dlq."
REDRIVEN_FROM: Final = "redriven-from"  # header: topic/partition/offset of the record as it came
# Of the stream that it was part of: in another one they would tell of gaps or repeats.
_OF_THE_OLD_STREAM: Final = frozenset(("seq", "start", REDRIVEN_FROM))
# Cut to what fits, or the bytes of a batch that nobody could read: no record any more.
_PARTS: Final = frozenset(("sha256", "records"))


@dataclass(frozen=True, slots=True)
class ReceivedDeadLetter:
    """A record that was refused, as it came, and why."""

    place: str  # partition/offset in the dead-letter topic
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]  # the publisher's own
    details: dict[str, str]  # the `dlq.` headers, without that prefix
    dead_ms: int  # Unix time at which it was put here

    @property
    def reason(self) -> str:
        return self.details.get("reason", "")

    @property
    def origin(self) -> str:
        """topic/partition/offset of the record as it came."""
        return "/".join(self.details.get(name, "?") for name in ("topic", "partition", "offset"))

    @property
    def stream_id(self) -> str | None:
        """None: the key names no stream."""
        name = (self.key or b"").decode("latin-1")
        return name if valid_stream_id(name) else None

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return len(self.value or b"")

    @property
    def sha256(self) -> str:
        """Of the value."""
        return hashlib.sha256(self.value or b"").hexdigest()

    @property
    def ends(self) -> bool:
        """Whether it is the last record of its stream."""
        return ("end", b"1") in self.headers

    @property
    def may_return(self) -> bool:
        """Whether it is all of the record that was refused, and the audio topics would take it."""
        headers = sum(len(name.encode()) + len(value or b"") for name, value in self.headers)
        return (
            not _PARTS & self.details.keys()
            and self.size <= MAX_RECORD_BYTES
            and headers <= MAX_HEADER_BYTES
        )


class Redriven(NamedTuple):
    """A record as it goes back."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


def dead_letter(record: ConsumerRecord) -> ReceivedDeadLetter:
    """A record of the dead-letter topic, whatever it holds."""
    own = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
    told = {
        name.removeprefix(PREFIX): (value or b"").decode("utf-8", "replace")
        for name, value in record.headers
        if name.startswith(PREFIX)
    }
    return ReceivedDeadLetter(
        place=f"{record.partition}/{record.offset}",
        key=record.key,
        value=record.value,
        headers=tuple(own),
        details=told,
        dead_ms=record.timestamp,
    )


def new_stream_id(letter: ReceivedDeadLetter, run: str) -> str:
    """Of the stream that a letter's stream becomes: the same for all its letters of one run.

    Under its old id a record would be taken for a repeat while the stream goes on.
    """
    suffix = f".redrive-{run}"
    old = letter.stream_id or f"dead-letter-{letter.place.replace('/', '-')}"
    return old[: MAX_STREAM_ID_CHARACTERS - len(suffix)] + suffix


def last_record(stream_id: str) -> Redriven:
    """The end of a stream that has none of its own."""
    return Redriven(stream_id.encode(), None, [("end", b"1")])


def redriven(letter: ReceivedDeadLetter, stream_id: str) -> Redriven:
    """The record as it came, in another stream, without its place in the old one."""
    headers = [
        (name, value)
        for name, value in letter.headers
        if name not in _OF_THE_OLD_STREAM and value is not None
    ]
    origin = (REDRIVEN_FROM, letter.origin.encode())
    return Redriven(stream_id.encode(), letter.value, [*headers, origin])
