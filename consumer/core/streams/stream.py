"""One stream id: one session at a time, driven by the steps of its records.

Each record is turned into steps when it arrives (`push`). A step is taken as soon as all audio
before it has been scored (`score_request`, `on_scores`): a gap or an end closes the open utterance,
and only the detector's scores determine where that one ends.

    idle --record--> session --end / idle--> idle
                     session --format / restart--> session

Every step keeps the record order from before it, so that `state` can return at any moment from
which record, and with which order, all undecided audio can be read again.

A stream does not write to the ledger: its methods return entries in the order of their audio.
*Undecided* audio lies after the last cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from consumer.core.audio.segmenter import Cut, SegmenterConfig
from consumer.core.audio.utterance import EndReason, Float32Array
from consumer.core.streams.chunks import Chunk, wall_ms
from consumer.core.streams.entries import InterimDecode, OpenUtterance, ScoreRequest, StreamEntry
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.record_order import (
    CloseUtterance,
    EndSession,
    InsertGap,
    OpenSession,
    RejectRecord,
    ReportLoss,
    StreamStep,
    Warn,
)
from consumer.core.streams.records import Partition, Record, SessionKey, StatedHeaders
from consumer.core.streams.reorder import ReorderBuffer
from consumer.core.streams.session import Session, SessionStart
from consumer.core.streams.session_options import complete, servable
from consumer.core.streams.state import StreamState
from consumer.core.streams.timeline import AudioSegment
from schemas.audio import StreamOptions
from schemas.transcript import StreamEndReason


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """The settings of every stream of a topic."""

    segmenter: SegmenterConfig
    options: StreamOptions  # complete: defaults for options that the publisher does not set
    languages: frozenset[str]  # Whisper codes that the model knows
    session_prefix: str = ""  # distinguishes sessions of the bulk topic from live ones


class Stream:
    """One stream id: records in, score requests and entries out.

    `push` raises `WireError` for a record that contradicts the session.
    """

    def __init__(
        self,
        partition: Partition,
        stream_id: str,
        policy: StreamPolicy,
        state: StreamState | None = None,
    ) -> None:
        """`state`: to resume from; None: the stream is new."""
        self.partition = partition
        self.stream_id = stream_id
        self.last_ms = 0 if state is None else state.last_ms  # append time of the last record
        self._policy = policy
        self._read_offset = 0 if state is None else state.resume_offset  # after the last record
        self._decided = () if state is None else state.decided_offsets  # not to be read again
        order = None if state is None else state.order
        recent = () if state is None else state.recent
        self._records = ReorderBuffer(self._session_start, order, self._decided, recent)
        self._session = None if state is None else self._restored(state)
        self._restored_state = state  # the restored state, until the first record is read

    @property
    def is_over(self) -> bool:
        """Whether no session is open and no step is left."""
        return not self._records.is_live and self._session is None and not self._records.steps

    @property
    def in_speech(self) -> bool:
        return self._session is not None and self._session.in_speech

    @property
    def is_interrupted(self) -> bool:
        """Whether numbers show that a record is late, or speech goes on without a pause.

        Then the lack of records is a delay, and no pause of the speaker.
        """
        session, order = self._session, self._records.order
        if session is None or order is None:
            return False
        return self._records.holds_back or (order.is_numbered and session.is_speaking)

    @property
    def waits(self) -> bool:
        """Whether a record is held back, or audio of an open utterance."""
        session = self._session
        speaking = session is not None and session.in_speech and bool(session.undecided)
        return speaking or self._records.holds_back

    @property
    def undecided_since_ms(self) -> int | None:
        """Append time of the record in which undecided audio begins; None: there is none."""
        segments = () if self._session is None else self._session.undecided
        return segments[0].appended_ms if segments else None

    @property
    def undecided_s(self) -> float:
        """Seconds of audio after the last cut."""
        session = self._session
        if session is None:
            return 0.0
        return sum(len(segment.samples) for segment in session.undecided) / session.rate

    @property
    def options(self) -> StreamOptions | None:
        """The options of the session that is open after all records, or None."""
        if not self._records.is_live:
            return None
        for step in reversed(self._records.steps):
            if isinstance(step, OpenSession):
                return step.start.options
        return None if self._session is None else self._session.state.options

    def is_forgotten_at(self, offset: int) -> bool:
        """Return whether no record of the stream would be read again from `offset` on."""
        return self.is_over and self._read_offset <= offset

    def state(self) -> StreamState:
        """Return the state as of the session's cut."""
        if self._restored_state is not None:
            return self._restored_state
        segments = () if self._session is None else self._session.undecided
        waiting = [*segments, *self._records.steps]
        offsets = [*(each.offset for each in waiting), *self._records.held_offsets()]
        needed = min(offsets, default=None)
        first = waiting[0] if waiting else None
        first_offset = None if first is None else first.offset
        return StreamState(
            needed_offset=needed,
            read_offset=self._read_offset,
            last_ms=self.last_ms,
            order=self._records.order if first is None else first.before,
            session=None if self._session is None else self._session.state,
            decided_offsets=self._records.decided_offsets(first_offset, needed),
            recent=self._records.recent_before(first_offset),
        )

    def push(self, chunk: Chunk) -> bool:
        """Queue the steps of a record; return False if it has none.

        That is a repeat, which is dropped, or an end or a flush without an open session.
        """
        if self._is_decided(chunk.offset):
            return True
        self._restored_state = None
        fresh = self._records.push(chunk)
        self.last_ms = max(self.last_ms, chunk.timestamp_ms)
        self._read_offset = chunk.offset + 1
        return fresh

    def reject(self, record: Record, stated: StatedHeaders) -> None:
        """Treat the audio of an unusable record as missing; its `end` ends the session."""
        if self._records.is_live and not self._is_decided(record.offset):
            self._restored_state, self._read_offset = None, record.offset + 1
            self._records.reject(record, stated)

    def skip_unreadable(self, first_offset: int, last_offset: int) -> bool:
        """Skip records that cannot be read; return whether the stream has to report a loss.

        A stream with `seq` or `start` does not: its next record shows what is missing.
        """
        order = self._records.order
        if order is None or order.over or last_offset < self._read_offset:
            return False
        if order.is_numbered or first_offset in self._decided:
            return False
        self._restored_state, self._read_offset = None, last_offset + 1
        self._records.skip(first_offset, last_offset)
        return True

    def stall(self, next_offset: int) -> None:
        """Close the open utterance: no record has arrived for a while, and none waits."""
        self._records.flush()
        if self._records.is_live and self._restored_state is None:
            self._records.close_utterance(next_offset, EndReason.STALLED)

    def expire(self, next_offset: int) -> None:
        """End the session: no record has arrived for too long."""
        self._records.flush()
        if self._records.is_live:
            self._restored_state = None
            self._records.end_session(next_offset, StreamEndReason.IDLE)

    def skip_deleted(self, log_start: int) -> list[StreamEntry]:
        """Skip records below `log_start`, which were deleted unread; return the report of the loss.

        To be called before any record is read.
        """
        lost, self._read_offset = self._read_offset, max(self._read_offset, log_start)
        if lost >= log_start:
            return []
        self._restored_state = None
        session, order = self._session, self._records.order
        if session is None or order is None:
            # A new session may have begun, so the numbers of the ended one are void.
            self._records.order = None
            return []
        # Audio of lost records before the cut is decided; the rest is missing.
        end = max(order.end, session.state.cut)
        self._records.order = order = replace(order, end=end, uncertain=True)
        self._session = self._session_at(session.key, replace(self.state(), order=order))
        self._records.report_loss(log_start, lost, log_start - 1)
        return self.score_request()[1]

    def score_request(self) -> tuple[ScoreRequest | None, list[StreamEntry]]:
        """Take all steps that can be taken; return the next audio to score, and the new entries."""
        entries: list[StreamEntry] = []
        steps = self._records.steps
        while (request := self._unscored()) is None and steps:
            entries.extend(self._take(steps[0]))
            steps.popleft()
        return request, entries

    def on_scores(self, probabilities: Float32Array | None) -> list[StreamEntry]:
        """Take the scores of the last `score_request`, or None if it failed; return new entries."""
        if self._session is None:
            raise ValueError("no scores were requested")
        cut = self._session.on_scores(probabilities)
        return [] if cut is None else [*self._apply(self._session, cut)]

    def open_utterance(self) -> OpenUtterance | None:
        """Return the open utterance so far, or None."""
        return None if self._session is None else self._session.open_utterance()

    def interim(self) -> InterimDecode:
        """Return the open utterance with its audio, to be decoded. There must be one."""
        if self._session is None:
            raise ValueError("no utterance is open")
        return self._session.interim()

    def set_language(self, session: SessionKey, language: LanguageHold) -> None:
        """Set the held language of the session, if it is still open."""
        if self._session is not None and self._session.key == session:
            self._session.set_language(language)

    def _is_decided(self, offset: int) -> bool:
        """Return whether the record is decided and must not be read again."""
        return offset < self._read_offset or offset in self._decided

    def _restored(self, state: StreamState) -> Session | None:
        if state.session is None:
            return None
        key = SessionKey(self.partition, self.stream_id, state.session.session_id)
        return self._session_at(key, state)

    def _session_at(self, key: SessionKey, state: StreamState) -> Session:
        assert state.session is not None
        assert state.order is not None
        return Session(key, state.session, self._policy.segmenter, state.order.end)

    def _session_start(self, chunk: Chunk) -> SessionStart:
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

    def _unscored(self) -> ScoreRequest | None:
        session, steps = self._session, self._records.steps
        if session is None:
            return None
        while steps and isinstance(step := steps[0], AudioSegment):
            session.append(step)
            steps.popleft()
        return session.score_request()

    def _take(self, step: StreamStep) -> Iterator[StreamEntry]:
        """Take the first step; it is still queued, so that `before` of its entries includes it."""
        before, session = self.state(), self._session
        match step:
            case OpenSession():
                session = Session.start(step.start, self._policy.segmenter)
                yield StreamEntry(before, session.announce(step.start.problems))
                self._session = session
            case RejectRecord():
                options = None if session is None else session.state.options
                yield StreamEntry(before, (step.letter.of_session(options),))
            case InsertGap() if session:
                gap = session.insert_gap(step.to, step.wall_ms, estimated=step.estimated)
                yield StreamEntry(before, (gap,))
            case ReportLoss() if session:
                loss = session.report_loss(step.first_offset, step.last_offset)
                yield StreamEntry(before, (loss,))
            case Warn():
                if session is not None:
                    yield StreamEntry(before, (session.warn(step.message),))
            case CloseUtterance() if session:
                yield from self._apply(session, session.close_utterance(step.reason))
            case EndSession() if session:
                yield from self._apply(session, session.close_utterance(EndReason.END_OF_STREAM))
                yield StreamEntry(self.state(), (session.finish(step.reason),))
                self._session = None
            case _:
                raise ValueError(f"{step} without an open session")

    def _apply(self, session: Session, cut: Cut) -> Iterator[StreamEntry]:
        """Apply the cut; yield the utterance that ends there."""
        if cut.span is None:
            before = self.state()
            if (warning := session.apply_silence(cut)) is not None:
                yield StreamEntry(before, (warning,))
            return
        before, since_ms = self.state(), session.decided_ms
        if (pending := session.apply(cut)) is not None:
            yield StreamEntry(before, pending, since_ms)
