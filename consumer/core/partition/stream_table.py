"""The streams of one partition: those that may have steps to take, and those that await scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Partition
from consumer.core.streams.state import StreamState
from consumer.core.streams.stream import Stream, StreamPolicy


class StreamTable:
    """Streams by their ids."""

    def __init__(self, partition: Partition, policy: StreamPolicy) -> None:
        self._partition = partition
        self._policy = policy
        self._streams: dict[str, Stream] = {}
        self._changed: dict[str, Stream] = {}  # they may have steps to take
        self._requested: dict[ScoreRequest, Stream] = {}  # outstanding score requests

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams.values())

    def __contains__(self, name: str) -> bool:
        return name in self._streams

    def get(self, name: str) -> Stream | None:
        return self._streams.get(name)

    def open(self, name: str, state: StreamState | None = None) -> Stream:
        """Return a new stream, or one restored from its state."""
        stream = Stream(self._partition, name, self._policy, state)
        self._streams[name] = stream
        return stream

    def forget(self, name: str) -> None:
        del self._streams[name]
        self._changed.pop(name, None)

    @property
    def by_name(self) -> Mapping[str, Stream]:
        return self._streams

    def has_any(self, names: Iterable[str]) -> bool:
        """Return whether one of the streams is known."""
        return not self._streams.keys().isdisjoint(names)

    def is_open(self, name: str) -> bool:
        stream = self._streams.get(name)
        return stream is not None and not stream.is_over

    # --- steps and score requests

    def mark(self, stream: Stream) -> None:
        """Note that the stream may have steps to take."""
        self._changed[stream.stream_id] = stream

    def due(self) -> list[Stream]:
        """Return the streams that may have steps to take, and await no scores."""
        awaiting = {stream.stream_id for stream in self._requested.values()}
        return [stream for name, stream in self._changed.items() if name not in awaiting]

    def settle(self, stream: Stream) -> None:
        """Note that the stream has taken all steps that it can take now."""
        del self._changed[stream.stream_id]

    def await_scores(self, request: ScoreRequest, stream: Stream) -> None:
        self._requested[request] = stream

    def awaits(self, request: ScoreRequest) -> bool:
        return request in self._requested

    def scored(self, request: ScoreRequest) -> Stream:
        """Return the stream that a score request is for, which is answered now."""
        return self._requested.pop(request)

    # --- measures

    @property
    def open_count(self) -> int:
        return sum(not stream.is_over for stream in self)

    @property
    def undecided_s(self) -> float:
        """Seconds of undecided audio in memory."""
        return sum(stream.undecided_s for stream in self)

    def behind_ms(self, time_ms: int) -> int:
        """Return the append time from the oldest undecided audio to `time_ms`."""
        since = (stream.undecided_since_ms for stream in self)
        return time_ms - min((ms for ms in since if ms is not None), default=time_ms)
