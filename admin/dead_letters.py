"""Dead letters: parse a record of `speech.audio.dlq.v1` and build the one to send back. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from aiokafka import ConsumerRecord

from schemas.audio import MAX_HEADER_BYTES, MAX_RECORD_BYTES
from schemas.audio_headers import select
from schemas.errors import WireError
from schemas.headers import fitting, flag
from schemas.options import OPTION_HEADERS
from schemas.topics import MAX_STREAM_ID_CHARACTERS, valid_stream_id

PREFIX: Final = "dlq."
REDRIVEN_FROM: Final = "redriven-from"  # header: topic/partition/offset of the original record
# Positions in the old stream: in a new one they would indicate gaps or duplicates.
_DROPPED_HEADERS: Final = frozenset(("seq", "start", "run", REDRIVEN_FROM))
# Details of a letter that is no complete record: truncated, or the bytes of an unreadable batch.
_INCOMPLETE: Final = frozenset(("sha256", "records"))
_INVALID_CHARACTERS: Final = re.compile(r"[^A-Za-z0-9._:-]+")  # of a stream id
_DIGEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class ReceivedDeadLetter:
    """A rejected record and the reason."""

    place: str  # partition/offset in the dead-letter topic
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]  # the publisher's own
    details: dict[str, str]  # the `dlq.` headers, without that prefix
    dead_ms: int  # Unix time at which it was written to the dead-letter topic

    @property
    def reason(self) -> str:
        return self.details.get("reason", "")

    @property
    def origin(self) -> str:
        """topic/partition/offset of the original record."""
        return "/".join(self.details.get(name, "?") for name in ("topic", "partition", "offset"))

    @property
    def stream_id(self) -> str | None:
        """The stream, or None if the key is no stream id."""
        name = (self.key or b"").decode("latin-1")
        return name if valid_stream_id(name) else None

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return len(self.value or b"")

    @property
    def sha256(self) -> str:
        """The value's hash, in hexadecimal."""
        return hashlib.sha256(self.value or b"").hexdigest()

    @property
    def ends(self) -> bool:
        """Whether it is the last record of its stream."""
        try:
            stated, _ = select(self.headers, {"end"})
            return flag(stated, "end")
        except WireError:
            return False

    @property
    def options(self) -> list[tuple[str, bytes]]:
        """Headers with the options of its session, which the record itself does not state."""
        stated, _ = select(self.headers, OPTION_HEADERS)
        return [
            (name, text.encode())
            for name in sorted(OPTION_HEADERS - stated.keys())
            if (text := self.details.get(f"option.{name}")) is not None
        ]

    @property
    def may_return(self) -> bool:
        """Whether it is the complete record, and small enough for the audio topics."""
        headers = sum(len(name.encode()) + len(value or b"") for name, value in self.headers)
        return (
            not _INCOMPLETE & self.details.keys()
            and self.size <= MAX_RECORD_BYTES
            and headers <= MAX_HEADER_BYTES
        )


class Redriven(NamedTuple):
    """A record to send back."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


def dead_letter(record: ConsumerRecord) -> ReceivedDeadLetter:
    """Return a record of the dead-letter topic as a dead letter; accepts any content."""
    own = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
    details = {
        name.removeprefix(PREFIX): (value or b"").decode("utf-8", "replace")
        for name, value in record.headers
        if name.startswith(PREFIX)
    }
    return ReceivedDeadLetter(
        place=f"{record.partition}/{record.offset}",
        key=record.key,
        value=record.value,
        headers=tuple(own),
        details=details,
        dead_ms=record.timestamp,
    )


def new_stream_id(letter: ReceivedDeadLetter, run: str) -> str:
    """Return the new id of a letter's stream, the same for all letters of the stream in one run.

    Under the old id a record would be dropped as a duplicate while the stream is open. Letters
    whose key is no stream id are grouped by key, and those without a key by their partition.
    """
    suffix = f".redrive-{run}"
    room = MAX_STREAM_ID_CHARACTERS - len(suffix)
    if letter.key is None:
        topic, partition = (letter.details.get(name, "") for name in ("topic", "partition"))
        return _without_invalid(f"no-key-{topic}-{partition}")[:room] + suffix
    if letter.stream_id is not None and len(letter.stream_id) <= room:
        return letter.stream_id + suffix
    digest = hashlib.sha256(letter.key).hexdigest()[:_DIGEST_CHARACTERS]
    text = _without_invalid(letter.key.decode("utf-8", "replace"))
    return f"key-{digest}-{text}"[:room] + suffix


def _without_invalid(text: str) -> str:
    return _INVALID_CHARACTERS.sub("-", text)


def last_record(stream_id: str) -> Redriven:
    """Return the `end` record of a stream whose dead letters have none."""
    return Redriven(stream_id.encode(), None, [("end", b"1")])


def redriven(letter: ReceivedDeadLetter, stream_id: str) -> Redriven:
    """Return the original record in another stream, without its position in the old one.

    It has the options of its old session, as far as the limits of headers allow.
    """
    headers = [
        (name, value)
        for name, value in letter.headers
        if name.lower() not in _DROPPED_HEADERS and value is not None
    ]
    origin = (REDRIVEN_FROM, letter.origin.encode())
    return Redriven(stream_id.encode(), letter.value, fitting(headers, [origin, *letter.options]))
