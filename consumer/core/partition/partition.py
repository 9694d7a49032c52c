"""One assigned partition: its streams, ledger and utterances, driven by one entry point, `step`.

    step(Inputs) -> Effects          records, scores, texts in; jobs, events, score requests out
    prepare_commit() -> Commit       one open at a time; `Inputs.committed` acknowledges it

Streams return entries; only the partition appends them to the ledger, and marks streams whose state
may have changed. It calls no model and no codec, and takes times as arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

from consumer.core.partition.commit import Commit, Outcome
from consumer.core.partition.expiry import Expiry
from consumer.core.partition.faults import EXCLUDED, ExcludedStreams, Exclusions, attributed_to
from consumer.core.partition.lag import Lag
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.state import Restored
from consumer.core.partition.step import (
    DecodedRecord,
    Effects,
    IncomingRecord,
    Inputs,
    RejectedRecord,
)
from consumer.core.partition.stream_admission import StreamAdmission
from consumer.core.partition.stream_table import StreamTable
from consumer.core.partition.utterances import Utterances
from consumer.core.streams.chunks import Chunk, addressed, names
from consumer.core.streams.entries import DeadLetter, PendingUtterance, ScoreRequest, StreamEntry
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.records import (
    Partition,
    Record,
    SessionKey,
    StatedHeaders,
    UnreadableBatch,
)
from consumer.core.streams.state import StreamState
from consumer.core.streams.stream import Stream
from schemas.errors import Reason, WireError


class PartitionTask:
    """One assignment of one partition; `epoch` distinguishes it from earlier ones."""

    def __init__(
        self,
        partition: Partition,
        epoch: int,
        policy: PartitionPolicy,
        restored: Restored,
        ledger: Ledger | None = None,
        exclusions: Exclusions | None = None,
    ) -> None:
        """`ledger`: replaces the default one."""
        self.partition = partition
        self.epoch = epoch
        self.ledger = ledger or Ledger(partition, epoch, restored)
        self.read_s = 0.0  # seconds of audio read so far
        self._policy = policy
        self._lag = Lag(self.ledger.time_ms)
        self._admission = StreamAdmission(policy.limits, self.ledger)
        self._expiry = Expiry(policy, self.ledger)
        self._utterances = Utterances(policy, self.ledger, restored, self._set_language)
        self._streams = StreamTable(partition, policy.stream)
        self._excluded = ExcludedStreams(exclusions or Exclusions(), restored.streams)
        for name, state in restored.streams.items():
            if name not in self._excluded:
                with self._attributed_to(name):
                    self._restore(name, state, restored.deleted)

    # --- measures and admission

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return self._streams.open_count

    @property
    def is_idle(self) -> bool:
        """Whether no utterance waits to be decoded, or is being decoded."""
        return self._utterances.is_idle

    @property
    def behind_ms(self) -> int:
        """Append time from the oldest undecided audio to the newest record."""
        return self._streams.behind_ms(self.ledger.time_ms)

    @property
    def undecided_s(self) -> float:
        """Seconds of undecided audio in memory."""
        return self._streams.undecided_s

    def lag_ms(self, now: float, now_ms: int) -> int:
        """Return the append time since the oldest work that is due; `now_ms`: Unix time."""
        return self._lag.ms(now, now_ms, self.ledger.waiting_since_ms)

    def is_known(self, record: Record) -> bool:
        """Return whether the record belongs to a known stream, so that it may be decoded ahead."""
        return self._streams.has_any(self._names(record))

    def admit(self, record: Record) -> RejectedRecord | None:
        """Return why the next record must not be decoded, or None."""
        if record.next_offset <= self.ledger.position:
            return None
        ids = self._names(record)
        if self._excluded.excludes(ids, record.offset):
            return RejectedRecord(record, Reason.INTERNAL_ERROR, EXCLUDED)
        if self._streams.has_any(ids):
            return None
        return self._admission.decide(record, len(self._streams))

    # --- one step

    def step(self, inputs: Inputs) -> Effects:
        """Handle the inputs. Raises `ValueError` for invalid ones, and then changes nothing.

        Raises `StreamFault` for an unexpected exception of a stream: the task must be dropped.
        """
        self._check(inputs)
        now, now_ms = inputs.now, inputs.now_ms
        if inputs.committed is not None:
            self.ledger.on_committed(inputs.committed)
            self._utterances.on_committed(inputs.committed, now)
        for id_ in inputs.started:
            self._utterances.on_started(id_)
        for decode in inputs.decodes:
            with self._attributed_to(decode.job.id.session.stream_id):
                self._utterances.on_decoded(decode, now)
        for request, probabilities in inputs.scores:
            stream = self._streams.scored(request)
            with self._attributed_to(stream.stream_id):
                self._append(stream, stream.on_scores(probabilities), now, now_ms)
        outcomes = [self._read(record, now) for record in inputs.records]
        if inputs.caught_up is not None:
            self._tick(now, caught_up=inputs.caught_up)
        requests = self._take_steps(now, now_ms)
        self._forget_excluded()
        effects = self._utterances.take_effects()
        effects.score_requests = requests
        effects.outcomes = outcomes
        effects.commit_due = self.ledger.has_output
        return effects

    def prepare_commit(
        self, *, progress: bool = True, clean: bool = False, force: bool = False
    ) -> Commit | None:
        """Return the next commit, or None (`Ledger.prepare`)."""
        return self.ledger.prepare(self._state_of, progress=progress, clean=clean, force=force)

    def _check(self, inputs: Inputs) -> None:
        if not all(self._streams.awaits(request) for request, _ in inputs.scores):
            raise ValueError("scores without a request")
        offsets = [_first_offset(record) for record in inputs.records]
        if offsets != sorted(offsets):
            raise ValueError("records are out of order")

    def _attributed_to(self, stream_id: str) -> AbstractContextManager[None]:
        return attributed_to(stream_id, self.ledger.next_offset)

    def _state_of(self, stream_id: str) -> StreamState:
        with self._attributed_to(stream_id):
            return self._streams.by_name[stream_id].state()

    def _set_language(self, session: SessionKey, language: LanguageHold) -> None:
        stream = self._streams.get(session.stream_id)
        if stream is not None:
            stream.set_language(session, language)
            self.ledger.mark_changed(session.stream_id)

    # --- records

    def _read(self, incoming: IncomingRecord, now: float) -> Outcome | None:
        """Read a record; return its outcome, or None if an earlier task counted it."""
        if isinstance(incoming, UnreadableBatch):
            return self._skip(incoming, now)
        record = incoming.record
        if record.next_offset <= self.ledger.position:
            return None
        self.ledger.read(record.offset, record.timestamp_ms)
        self._on_read(record.timestamp_ms, now)
        with self._attributed_to(self._names(record)[0]):
            outcome = self._outcome(incoming, now)
        self.ledger.tally(outcome)
        return None if self.ledger.is_replay else outcome

    def _outcome(self, incoming: DecodedRecord | RejectedRecord, now: float) -> Outcome:
        if isinstance(incoming, RejectedRecord):
            return self._reject(incoming)
        record = incoming.record
        if not self.is_known(record):
            rejected = self._admission.decide(record, len(self._streams))
            if rejected is not None:
                return self._reject(rejected)
        try:
            fresh = [self._push(chunk, now) for chunk in self._addressed(incoming.chunks)]
        except WireError as error:
            return self._reject(RejectedRecord(record, error.reason, str(error)))
        return Outcome.ACCEPTED if any(fresh) else Outcome.DUPLICATE

    def _reject(self, rejected: RejectedRecord) -> Outcome:
        record = rejected.record
        self._admission.on_rejected(rejected)
        ids = self._names(record)
        options = self._excluded.options(ids, record.offset)
        for name in ids:
            if (stream := self._streams.get(name)) is not None:
                options = options or stream.options
                stream.reject(record, StatedHeaders.of(record))
                self._mark(stream)
        if rejected.reason is None:
            return Outcome.REFUSED
        letter = DeadLetter(record, rejected.reason, rejected.message).of_session(options)
        if self._excluded.has_undecided(ids, record.offset):
            self._excluded.keep(letter)
        else:
            self.ledger.dead_letter(letter)
        return Outcome.DEAD_LETTER

    def _skip(self, batch: UnreadableBatch, now: float) -> Outcome | None:
        """Skip a batch. Every stream that may have had records in it reports a loss."""
        if batch.next_offset <= self.ledger.position:
            return None
        first, time_ms = max(batch.offset, self.ledger.position), self.ledger.time_ms
        appended_ms = time_ms if batch.timestamp_ms is None else batch.timestamp_ms
        fresh = self.ledger.skip(first, batch.last_offset, appended_ms)
        self._on_read(appended_ms, now)
        for stream in self._streams:
            if stream.skip_unreadable(first, batch.last_offset):
                self._mark(stream)
        if not fresh:
            return None
        record = Record(self.partition, fresh.start, appended_ms, None, batch.raw, ())
        self.ledger.dead_letter(DeadLetter(record, batch.reason, batch.message, len(fresh)))
        return Outcome.DEAD_LETTER

    def _on_read(self, appended_ms: int, now: float) -> None:
        self._lag.on_read(appended_ms, now)
        self._expiry.on_read(now)

    def _push(self, chunk: Chunk, now: float) -> bool:
        name = chunk.audio.stream_id
        stream = self._streams.get(name)
        if stream is None:
            self._admission.on_admitted(name)
            stream = self._streams.open(name)
        self.read_s += len(chunk.samples) / chunk.rate
        self._expiry.on_record(name, now)
        self._mark(stream)
        return stream.push(chunk)

    def _addressed(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        first = chunks[0]
        if not self._policy.split_channels or len(first.samples):
            return chunks
        return addressed(first, self._streams.is_open)

    def _names(self, record: Record) -> tuple[str, ...]:
        """Return the ids of the streams that the record may belong to."""
        stream_id = record.key.decode("latin-1") if record.key else ""
        return (stream_id, *names(stream_id)) if self._policy.split_channels else (stream_id,)

    # --- streams

    def _restore(self, name: str, state: StreamState, deleted: int) -> None:
        """Restore a stream; `deleted`: records below it are deleted, some perhaps unread."""
        stream = self._streams.open(name, state)
        if state.resume_offset < deleted:
            self._append(stream, stream.skip_deleted(deleted), 0.0, 0)

    def _forget_excluded(self) -> None:
        """Delete the states of excluded streams once their undecided records are read again.

        Their dead letters are part of the same commit.
        """
        if self.ledger.position >= self.ledger.restored_next:
            names, letters = self._excluded.take()
            self.ledger.dead_letter_accepted(letters)
            for name in names:
                if name not in self._streams:
                    self.ledger.forget(name)

    def _mark(self, stream: Stream) -> None:
        """Note that the stream may have steps to take, and that its state may have changed."""
        self._streams.mark(stream)
        self.ledger.mark_changed(stream.stream_id)

    def _take_steps(self, now: float, now_ms: int) -> list[ScoreRequest]:
        """Take all steps that can be taken; return the score requests that the others need."""
        requests = []
        for stream in self._streams.due():
            with self._attributed_to(stream.stream_id):
                request = self._take_steps_of(stream, now, now_ms)
            if request is not None:
                self._streams.await_scores(request, stream)
                requests.append(request)
        return requests

    def _take_steps_of(self, stream: Stream, now: float, now_ms: int) -> ScoreRequest | None:
        request, entries = stream.score_request()
        self._append(stream, entries, now, now_ms)
        if request is None:
            self._streams.settle(stream)
            if (opened := stream.open_utterance()) is not None:
                self._utterances.on_open(opened, stream.interim, now)
        return request

    def _append(
        self, stream: Stream, entries: Iterable[StreamEntry], now: float, now_ms: int
    ) -> None:
        """Append a stream's entries to the ledger."""
        name = stream.stream_id
        self.ledger.mark_changed(name)
        for entry in entries:
            if isinstance(entry.content, PendingUtterance):
                entry_id = self.ledger.append_pending(name, entry.before, entry.since_ms)
                self._utterances.on_closed(entry.content, entry_id, now, now_ms)
            else:
                self.ledger.append(name, entry.before, *entry.content)

    def _tick(self, now: float, *, caught_up: bool) -> None:
        """Note a poll, and apply expiry."""
        self._lag.on_poll(now, caught_up=caught_up)
        expired = self._expiry.sweep(self._streams.by_name, now, caught_up=caught_up)
        if expired is None:
            return
        for stream in expired.forgotten:
            self._forget(stream.stream_id)
        for stream in expired.idle:
            with self._attributed_to(stream.stream_id):
                stream.expire(self.ledger.next_offset)
            self._mark(stream)
        for stream in expired.stalled:
            with self._attributed_to(stream.stream_id):
                stream.stall(self.ledger.next_offset)
            self._mark(stream)

    def _forget(self, name: str) -> None:
        self.ledger.forget(name)
        self._utterances.forget(name)
        self._expiry.forget(name)
        self._streams.forget(name)


def _first_offset(incoming: IncomingRecord) -> int:
    return incoming.offset if isinstance(incoming, UnreadableBatch) else incoming.record.offset
