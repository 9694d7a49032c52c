"""One stream driven step by step: records in, utterances and events out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from builders import KNOWN, MODEL, OPTIONS, PARTITION, RATE, SEGMENTER, Log, fresh, read

from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import EndReason, Float32Array, Int16Array, Utterance
from consumer.core.partition.commit import EntryId
from consumer.core.partition.ledger import Ledger
from consumer.core.streams.entries import PendingUtterance, ScoreRequest, StreamEntry
from consumer.core.streams.records import Record
from consumer.core.streams.state import StreamState
from consumer.core.streams.stream import Stream, StreamPolicy
from consumer.core.text.events import final
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.testing import EchoEngine, echo
from schemas.audio import AudioChunk
from schemas.transcript import AnyEvent

Score: TypeAlias = Callable[[ScoreRequest], Float32Array | None]


class OneStream:
    """A stream, the log it reads, and a detector, by default one that scores non-zero as speech."""

    def __init__(
        self,
        stream_id: str = "s",
        state: StreamState | None = None,
        *,
        segmenter: SegmenterConfig = SEGMENTER,
        score: Score | None = None,
    ) -> None:
        self.log = Log()
        self.ledger = Ledger(PARTITION, 1, fresh())
        policy = StreamPolicy(segmenter, OPTIONS, KNOWN)
        self.stream = Stream(PARTITION, stream_id, policy, state)
        self.pending: list[tuple[PendingUtterance, EntryId]] = []
        self._score = score or EchoEngine().score_one

    def send(self, audio: Int16Array, *, rate: int = RATE, **more: Any) -> bool:
        """Publish and process one record; `audio` is [n] or [n, channels]. False: a duplicate."""
        channels = audio.shape[1] if audio.ndim == 2 else 1
        chunk = AudioChunk(
            self.stream.stream_id, audio.tobytes(), rate=rate, channels=channels, **more
        )
        return self.take(self.log.append(chunk))

    def speak(self, audio: Int16Array, *, chunk_s: float = 0.1, rate: int = RATE) -> None:
        """Publish audio in chunks without numbers."""
        step = round(chunk_s * rate)
        for at in range(0, len(audio), step):
            self.send(audio[at : at + step], rate=rate)

    def take(self, record: Record) -> bool:
        """Read a record and score its audio; return False for a duplicate."""
        is_new = self.push(record)
        self.score()
        return is_new

    def push(self, record: Record) -> bool:
        """Read a record without scoring it yet."""
        self.ledger.read(record.offset, record.timestamp_ms)
        return self.stream.push(read(record))

    def score(self) -> None:
        """Answer score requests until there are none."""
        while True:
            request, entries = self.stream.score_request()
            self.append(entries)
            if request is None:
                return
            self.append(self.stream.on_scores(self._score(request)))

    def append(self, entries: Iterable[StreamEntry]) -> None:
        """Append entries to the ledger, as the partition does."""
        name = self.stream.stream_id
        self.ledger.mark_changed(name)
        for entry in entries:
            if isinstance(entry.content, PendingUtterance):
                entry_id = self.ledger.append_pending(name, entry.before, entry.since_ms)
                self.pending.append((entry.content, entry_id))
            else:
                self.ledger.append(name, entry.before, *entry.content)

    def stall(self) -> None:
        self.stream.stall(self.ledger.next_offset)
        self.score()

    def expire(self) -> None:
        self.stream.expire(self.ledger.next_offset)
        self.score()

    @property
    def utterances(self) -> list[Utterance]:
        return [pending.utterance for pending, _ in self.pending]

    @property
    def reasons(self) -> list[EndReason]:
        return [utterance.end_reason for utterance in self.utterances]

    def events(self) -> list[AnyEvent]:
        """Give every utterance a text, commit, and return the events of the commit."""
        for pending, entry_id in self.pending:
            decoded = TimedHypothesis(echo(pending.utterance.samples), 0, 0, 0)
            self.ledger.complete(entry_id, final(pending, decoded, MODEL))
        self.pending.clear()
        commit = self.ledger.prepare(lambda _: self.stream.state())
        if commit is None:
            return []
        self.ledger.on_committed(commit)
        return list(commit.events)

    def kinds(self) -> list[str]:
        """Return the types of `events()` without their common prefix."""
        return [event.TYPE.rpartition(".")[2] for event in self.events()]


def spans(stream: OneStream) -> list[tuple[int, int]]:
    return [(utterance.start, utterance.end) for utterance in stream.utterances]


def without_offsets(event: AnyEvent) -> AnyEvent:
    """Return the event without its session id and the offsets of its records."""
    if hasattr(event, "source"):
        event = replace(event, source=None)
    return replace(event, session_id="")
