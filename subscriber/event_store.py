"""The events of many streams on disk, so that memory holds those of one stream at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from captions.timeline import Placeable, is_placeable
from schemas.codec import decode_event, encode_event
from schemas.transcript import AnyEvent

_TEMPORARY: Final = ""  # a database in a file without a name, which ends with the connection
# A row keeps its place when a later event with the same id replaces it.
_ADD: Final = """
insert into events (stream, id, type, value) values (?, ?, ?, ?)
on conflict (stream, id) do update set type = excluded.type, value = excluded.value
"""


class EventStore:
    """Finals, gaps and failures by stream, in the order of their publication.

    Of two events with one id the later is kept: ids are the same on every run over the same audio,
    so the second comes of audio that was transcribed again.
    """

    def __init__(self) -> None:
        # One thread at a time: `add` blocks, so asyncio programs call it in another one.
        self._rows = sqlite3.connect(_TEMPORARY, check_same_thread=False)
        self._rows.execute(
            "create table events (place integer primary key, stream text, id text, type text,"
            " value blob, unique (stream, id))"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._rows.close()

    def add(self, *events: AnyEvent) -> None:
        """Keep the events that cover a stretch of a recording."""
        for event in filter(is_placeable, events):
            value = encode_event(event).value
            self._rows.execute(_ADD, (event.stream_id, event.id, event.TYPE, value))

    def streams(self) -> list[str]:
        """Return the ids of the streams in the order of their first events."""
        found = self._rows.execute("select stream from events group by stream order by min(place)")
        return [stream for (stream,) in found]

    def events(self, stream: str) -> Iterator[Placeable]:
        """Yield the events of one stream."""
        found = self._rows.execute(
            "select type, value from events where stream = ? order by place", (stream,)
        )
        for event_type, value in found:
            event = decode_event([("ce_type", event_type.encode())], value)
            assert is_placeable(event)
            yield event
