"""One stream id: puts records in order, finds gaps and repeats, and drives one session at a time.

What a record means is decided when it comes (`push`), as a list of steps; the steps are taken as
soon as all audio before them has been scored (`listen`, `hear`), because a gap or an end closes the
open utterance, and where that one ends only the detector's scores can say.

    idle --record--> session --end / idle--> idle
                     session --format / restart--> session

Every step keeps the order of records as it was before it, so that at any moment `state` can say
from which record, and knowing what, everything that is not decided yet would be found again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import EndReason, Float32Array
from consumer.core.partition.ledger import Ledger
from consumer.core.streams.chunks import Chunk, wall_ms
from consumer.core.streams.entries import DeadLetter, InterimDecode, PendingUtterance, ScoreRequest
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.record_order import (
    CloseUtterance,
    EndSession,
    InsertGap,
    OpenSession,
    RejectRecord,
    ReportLoss,
    StreamStep,
    is_repeat,
    read,
)
from consumer.core.streams.records import Partition, Record, SessionKey
from consumer.core.streams.session import Session, SessionStart, complete, servable
from consumer.core.streams.state import RecordOrder, StreamState
from consumer.core.streams.timeline import AudioSegment
from schemas.audio import StreamOptions
from schemas.errors import WireError
from schemas.transcript import StreamEndReason

REORDER_WINDOW = 8  # records that are held back for one that seems late


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """What holds for every stream of a topic."""

    segmenter: SegmenterConfig
    options: StreamOptions  # complete: what holds where the publisher does not say
    languages: frozenset[str]  # Whisper codes that the model knows
    session_prefix: str = ""  # tells sessions of the bulk topic from those of the live one


class Stream:
    """`push` raises `WireError` for a record that contradicts the session."""

    def __init__(
        self,
        partition: Partition,
        stream_id: str,
        policy: StreamPolicy,
        ledger: Ledger,
        state: StreamState | None = None,
    ) -> None:
        """`state`: where it goes on; None: nothing is known of it."""
        self.partition = partition
        self.stream_id = stream_id
        self.last_ms = 0 if state is None else state.last_ms  # append time of the last record
        self._policy = policy
        self._ledger = ledger
        self._steps: deque[StreamStep] = deque()
        self._reordered: dict[int, Chunk] = {}  # by `seq`: came before those that come before them
        self._order: RecordOrder | None = None if state is None else state.order
        self._read_offset = (
            0 if state is None else state.resume_offset
        )  # offset behind the last record read
        self._decided_offsets = (
            () if state is None else state.decided_offsets
        )  # offsets that are not to be read again
        self._read_offsets = list(
            self._decided_offsets
        )  # of records, in the order in which they were read
        self._session = None if state is None else self._restored(state)
        self._unread = state  # until the first record at which it goes on has come
        ledger.follow(stream_id, self.state)

    @property
    def is_over(self) -> bool:
        """No session is open, nor anything queued that belongs to one."""
        return not self._is_live and self._session is None and not self._steps

    @property
    def in_speech(self) -> bool:
        return self._session is not None and self._session.in_speech

    @property
    def waits(self) -> bool:
        """Whether a record is held back, or audio of an open utterance."""
        session = self._session
        speaking = session is not None and session.in_speech and bool(session.undecided)
        return speaking or bool(self._reordered)

    @property
    def undecided_since_ms(self) -> int | None:
        """Append time of the record at which undecided audio begins."""
        sounds = () if self._session is None else self._session.undecided
        return sounds[0].appended_ms if sounds else None

    def is_forgotten_at(self, offset: int) -> bool:
        """Whether reading on from `offset` would find nothing of it."""
        return self.is_over and self._read_offset <= offset

    def state(self) -> StreamState:
        """As of the session's cut."""
        if self._unread is not None:
            return self._unread
        sounds = () if self._session is None else self._session.undecided
        waiting = [*sounds, *self._steps]
        offsets = [
            *(each.offset for each in waiting),
            *(c.offset for c in self._reordered.values()),
        ]
        needed = min(offsets, default=None)
        return StreamState(
            needed_offset=needed,
            read_offset=self._read_offset,
            last_ms=self.last_ms,
            order=waiting[0].before if waiting else self._order,
            session=None if self._session is None else self._session.state,
            decided_offsets=self._decided(waiting[0].offset if waiting else None, needed),
        )

    def push(self, chunk: Chunk) -> bool:
        """Queue what the record means; False when it was a repeat and has been dropped."""
        if chunk.offset < self._read_offset or chunk.offset in self._decided_offsets:
            return True  # all of it was decided before
        self._unread = None
        fresh = self._sort(chunk)
        self.last_ms = max(self.last_ms, chunk.timestamp_ms)
        self._read_offset = chunk.offset + 1
        self._ledger.mark_changed(self.stream_id)
        return fresh

    def reject(self, record: Record, seq: int | None) -> None:
        """A record of it cannot be used: what it held is missing. `seq`: None where it says none.

        How much is missing is guessed only where no later record will say.
        """
        order, offset = self._order, record.offset
        if (
            order is None
            or order.over
            or offset < self._read_offset
            or offset in self._decided_offsets
        ):
            return
        self._unread, self._read_offset = None, offset + 1
        self._read_offsets.append(offset)
        self._close(offset, EndReason.GAP)
        expected = seq == order.next_seq
        if expected and not order.positioned:
            to = order.end + order.last_samples
            self._steps.append(InsertGap(offset, order, to, record.timestamp_ms, estimated=True))
            order = replace(order, end=to)
        self._order = order
        self._count(seq)
        self._take_next()

    def skip_unreadable(self, first_offset: int, last_offset: int) -> bool:
        """Nobody knows what these records held: whether the stream has to tell of it.

        One that numbers or places its records need not: the next one says what is missing.
        """
        order = self._order
        if order is None or order.over or last_offset < self._read_offset:
            return False
        if order.next_seq is not None or order.positioned or first_offset in self._decided_offsets:
            return False
        self._unread, self._read_offset = None, last_offset + 1
        self._read_offsets.append(first_offset)
        self._close(first_offset, EndReason.GAP)
        self._steps.append(ReportLoss(first_offset, order, first_offset, last_offset))
        return True

    def stall(self) -> None:
        """No record for a while and none waiting: the open utterance ends."""
        self._take_reordered()
        if self._is_live and self._unread is None:
            self._close(self._ledger.next_offset, EndReason.STALLED)

    def expire(self) -> None:
        """No record for long: the session ends."""
        self._take_reordered()
        if self._order is not None and self._is_live:
            self._unread = None
            offset = self._ledger.next_offset
            self._steps.append(EndSession(offset, self._order, StreamEndReason.IDLE))
            self._order = replace(self._order, over=True)
            self._ledger.mark_changed(self.stream_id)

    def skip_deleted(self, log_start: int) -> None:
        """Records below `log_start` were deleted unread; called before any record is read."""
        lost, self._read_offset = self._read_offset, max(self._read_offset, log_start)
        if lost >= log_start:
            return
        self._unread = None
        self._ledger.mark_changed(self.stream_id)
        session, order = self._session, self._order
        if session is None or order is None:
            self._order = None  # the id may have begun anew: numbers of what ended say nothing now
            return
        # What the lost record held before the cut was decided; the rest will be missing.
        end = max(order.end, session.state.cut)
        order = self._order = replace(order, end=end, uncertain=True)
        self._session = self._session_at(session.key, replace(self.state(), order=order))
        self._steps.append(ReportLoss(log_start, order, lost, log_start - 1))
        self.score_request()

    def score_request(self) -> tuple[ScoreRequest | None, list[PendingUtterance]]:
        """Take all steps that can be taken: the next audio to score, and utterances that ended."""
        heard: list[PendingUtterance] = []
        while (request := self._unscored()) is None and self._steps:
            heard.extend(self._take(self._steps[0]))
            self._steps.popleft()
        self._ledger.mark_changed(self.stream_id)
        return request, heard

    def interim(self) -> InterimDecode | None:
        """The open utterance so far."""
        return None if self._session is None else self._session.interim()

    def set_language(self, session: SessionKey, held: LanguageHold) -> None:
        """What that session's language is held to be, if it is still open."""
        if self._session is not None and self._session.key == session:
            self._session.set_language(held)
            self._ledger.mark_changed(self.stream_id)

    def on_scores(self, probabilities: Float32Array) -> list[PendingUtterance]:
        """The answer to what `listen` asked for."""
        if self._session is None:
            raise ValueError("nothing was asked for")
        self._ledger.mark_changed(self.stream_id)
        return _present(self._session.on_scores(probabilities))

    def _decided(self, first: int | None, needed: int | None) -> tuple[int, ...]:
        """Records above `needed` that were read before the `first` undecided one."""
        read = self._read_offsets
        index = read.index(first) if first in read else len(read)
        done = [] if needed is None else [offset for offset in read[:index] if offset > needed]
        self._read_offsets = [*done, *read[index:]]
        return tuple(done)

    @property
    def _is_live(self) -> bool:
        """A session goes on behind the queued steps."""
        return self._order is not None and not self._order.over

    def _restored(self, state: StreamState) -> Session | None:
        if state.session is None:
            return None
        key = SessionKey(self.partition, self.stream_id, state.session.session_id)
        return self._session_at(key, state)

    def _session_at(self, key: SessionKey, state: StreamState) -> Session:
        assert state.session is not None
        assert state.order is not None
        return Session(key, state.session, self._policy.segmenter, self._ledger, state.order.end)

    # --- the order of records

    def _sort(self, chunk: Chunk) -> bool:
        """Read the record, or hold it back for those before it."""
        order, seq = self._order, chunk.audio.seq
        if is_repeat(chunk, self._order, self._reordered):
            self._read_offsets.append(chunk.offset)
            return False
        if order is None or order.over or order.uncertain or None in {seq, order.next_seq}:
            self._take_reordered()
            return self._read(chunk)
        assert seq is not None
        assert order.next_seq is not None
        if seq > order.next_seq and chunk.audio.start != order.end:
            self._reordered[seq] = chunk
            if len(self._reordered) == REORDER_WINDOW:
                self._take_first()
            return True
        if seq < order.next_seq:  # a restart
            self._take_reordered()
        fresh = self._read(chunk)
        self._take_next()
        return fresh

    def _take_next(self) -> None:
        """Read what was held back for the record before it."""
        while (order := self._order) and self._reordered and not order.over:
            if (chunk := self._reordered.pop(order.next_seq, None)) is None:  # type: ignore[arg-type]
                return
            self._read_reordered(chunk)
        self._sort_again()

    def _sort_again(self) -> None:
        """The session is over: its numbers say nothing of what comes behind."""
        late, self._reordered = sorted(self._reordered.values(), key=lambda chunk: chunk.offset), {}
        for chunk in late:
            with self._rejecting(chunk):
                self._sort(chunk)

    def _take_first(self) -> None:
        """The window is full: what is missing is missing."""
        self._read_reordered(self._reordered.pop(min(self._reordered)))
        self._take_next()

    def _take_reordered(self) -> None:
        """Nothing that is missing will come."""
        while self._reordered:
            self._read_reordered(self._reordered.pop(min(self._reordered)))
            if not self._is_live:
                self._sort_again()

    def _read_reordered(self, chunk: Chunk) -> None:
        with self._rejecting(chunk):
            self._read(chunk)

    @contextmanager
    def _rejecting(self, chunk: Chunk) -> Iterator[None]:
        """A contradiction shows only now: the dead letter takes its place in the stream's queue."""
        try:
            yield
        except WireError as error:
            letter = DeadLetter(chunk.record, error.reason, str(error))
            self._close(chunk.offset, EndReason.GAP)
            self._steps.append(RejectRecord(chunk.offset, self._order, letter))
            self._read_offsets.append(chunk.offset)
            self._count(chunk.audio.seq)

    def _count(self, seq: int | None) -> None:
        """The record of this number has come, though it cannot be used."""
        order = self._order
        if order is not None and seq is not None and seq == order.next_seq:
            self._order = replace(order, next_seq=seq + 1)

    # --- what a record means

    def _read(self, chunk: Chunk) -> bool:
        """Queue its steps; whether there are any."""
        self._order, steps = read(chunk, self._order, self._begin)
        self._steps.extend(steps)
        self._read_offsets.append(chunk.offset)
        return bool(steps)

    def _begin(self, chunk: Chunk) -> SessionStart:
        name = f"{self._policy.session_prefix}{self.partition.number}-{chunk.offset}"
        asked, unserved = servable(chunk.audio.options, self._policy.languages)
        return SessionStart(
            key=SessionKey(self.partition, self.stream_id, name),
            first=chunk.audio.start or 0,
            wall_ms=wall_ms(chunk),
            rate=chunk.rate,
            channels=chunk.channels,
            options=complete(asked, self._policy.options),
            problems=(*chunk.audio.problems, *unserved),
            traceparent=chunk.audio.traceparent,
        )

    def _close(self, offset: int, reason: EndReason) -> None:
        self._steps.append(CloseUtterance(offset, self._order, reason))
        self._ledger.mark_changed(self.stream_id)

    # --- taking the steps

    def _unscored(self) -> ScoreRequest | None:
        session = self._session
        if session is None:
            return None
        while self._steps and isinstance(step := self._steps[0], AudioSegment):
            session.append(step)
            self._steps.popleft()
        return session.score_request()

    def _take(self, step: StreamStep) -> list[PendingUtterance]:
        """The step is still the first of those that wait: what it queues lies before it."""
        session = self._session
        match step:
            case OpenSession():
                self._session = Session.start(step.begin, self._policy.segmenter, self._ledger)
            case RejectRecord():
                self._ledger.append(self.stream_id, step.letter)
            case InsertGap() if session:
                session.insert_gap(step.to, step.wall_ms, estimated=step.estimated)
            case ReportLoss() if session:
                session.report_loss(step.first_offset, step.last_offset)
            case CloseUtterance() if session:
                return _present(session.close_utterance(step.reason))
            case EndSession() if session:
                heard = session.close_utterance(EndReason.END_OF_STREAM)
                session.finish(step.reason)
                self._session = None
                return _present(heard)
            case _:
                raise ValueError(f"{step} without a session to take it")
        return []


def _present(heard: PendingUtterance | None) -> list[PendingUtterance]:
    return [] if heard is None else [heard]
