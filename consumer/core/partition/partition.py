"""All that one assigned partition knows: its streams, its ledger, its waiting utterances.

    ingest -> listen -> (scores) -> hear -> jobs -> (text) -> finish -> ledger

Pure: what is in brackets happens elsewhere. Times are handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from consumer.core.audio.utterance import Float32Array, Utterance
from consumer.core.partition.commit import Commit, Outcome
from consumer.core.partition.interim import InterimDecodes, InterimPolicy, is_same
from consumer.core.partition.lag import Lag
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.quarantine import Quarantine
from consumer.core.partition.sequencer import UtteranceSequencer
from consumer.core.partition.state import Restored
from consumer.core.partition.stream_admission import StreamAdmission, StreamLimits
from consumer.core.scheduling.jobs import Job, JobKind
from consumer.core.streams.chunks import Chunk, addressed, names
from consumer.core.streams.entries import DeadLetter, InterimDecode, PendingUtterance, ScoreRequest
from consumer.core.streams.records import Lane, Partition, Record, UnreadableBatch, UtteranceId
from consumer.core.streams.state import StreamState
from consumer.core.streams.stream import Stream, StreamPolicy
from consumer.core.text.events import FinalPolicy, failed, final, rendered
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from schemas.errors import Reason, WireError
from schemas.transcript import Model, TranscriptFinal, TranscriptPartial, UtteranceStarted

REMEMBERED_MS = 3_600_000  # a session that has ended: repeats of its records are known that long


BEHIND_MS = 60_000  # undecided audio that has waited so long is decided: R must not stay behind


CROWDED_MS = 120_000  # likewise where room is short: as long as publishers try again by default


SWEEP_S = 0.2  # between two looks at every stream, and as much again for every SWEPT of them


SWEPT = 2_500


@dataclass(frozen=True, slots=True)
class PartitionPolicy:
    """What holds for every partition of a topic."""

    lane: Lane
    from_earliest: bool  # where a group begins that has read nothing; else at the log's end
    stream: StreamPolicy
    read: Callable[[Record], tuple[Chunk, ...]]  # raises WireError; several: a stream a channel
    split_channels: bool  # channels into streams of their own
    write: Callable[[Utterance], bytes]  # as a file that can be published again
    model: Model
    finals: FinalPolicy
    interim: InterimPolicy
    final_within_s: float  # a final's deadline, from the end of its utterance
    limits: StreamLimits
    stall_s: float  # an open utterance ends after this long without a record
    idle_s: float  # a stream ends after this long without a record, in append time


class PartitionTask:
    """One assignment of one partition; `epoch` tells it from earlier ones."""

    def __init__(
        self,
        partition: Partition,
        epoch: int,
        policy: PartitionPolicy,
        restored: Restored,
    ) -> None:
        self.partition = partition
        self.epoch = epoch
        self.ledger = Ledger(partition, epoch, restored)
        self.read_s = 0.0  # audio so far
        self._policy = policy
        self._lag = Lag(self.ledger.time_ms)
        self._admission = StreamAdmission(policy.limits, self.ledger)
        self._read_at: float | None = None  # monotonic time of the newest record, or of the begin
        self._swept_at = 0.0
        self._streams: dict[str, Stream] = {}
        self._changed: dict[str, Stream] = {}  # with steps to take
        self._last_s: dict[str, float] = {}  # monotonic time of each stream's last record
        self._scored: dict[str, Stream] = {}  # with new audio since `drafts` was asked
        self._interims = InterimDecodes(policy.interim)
        self._asked: dict[
            UtteranceId, tuple[InterimDecode, ...]
        ] = {}  # that wait for their texts, in order
        self._closed: list[PendingUtterance] = []
        self._waiting: dict[UtteranceId, PendingUtterance] = {}
        self._sequencer = UtteranceSequencer()
        self._jobs: list[Job] = []  # to be given out
        self._finals: list[TranscriptFinal] = []  # likewise
        self._quarantine = Quarantine(self.ledger, restored)
        for name, state in restored.streams.items():
            self._streams[name] = stream = self._stream(name, state)
            stream.skip_deleted(restored.deleted)

    @property
    def streams(self) -> int:
        """Those that are open."""
        return sum(not stream.is_over for stream in self._streams.values())

    @property
    def is_idle(self) -> bool:
        """Nothing of it waits to be decoded, or is being decoded."""
        return self._quarantine.is_idle and not (self._closed or self._waiting)

    @property
    def behind_ms(self) -> int:
        """Append time between the newest record and the oldest undecided audio."""
        since = (stream.undecided_since_ms for stream in self._streams.values())
        return self.ledger.time_ms - min(
            (ms for ms in since if ms is not None), default=self.ledger.time_ms
        )

    def lag_ms(self, now: float, now_ms: int) -> int:
        """Append time since the oldest work that is due; `now_ms`: Unix time."""
        return self._lag.ms(now, now_ms, self.ledger.waiting_since_ms)

    def ingest(self, record: Record | UnreadableBatch, now: float) -> Outcome | None:
        """What became of it; None: it was read before, and that has been told."""
        if record.next_offset <= self.ledger.position:
            return None
        if isinstance(record, UnreadableBatch):
            return self._skip(record, now)
        self.ledger.read(record.offset, record.timestamp_ms)
        self._lag.on_read(record.timestamp_ms, now)
        self._read_at = now
        outcome = self._ingest(record, now)
        self.ledger.tally(outcome)
        return None if self.ledger.is_replay else outcome

    def _ingest(self, record: Record, now: float) -> Outcome:
        if not self._is_known(record):
            turned_away = self._admission.reject(record, len(self._streams))
            if turned_away is not None:
                return turned_away
        try:
            chunks = self._policy.read(record)
            fresh = [self._push(chunk, now) for chunk in self._addressed(chunks)]
        except WireError as error:
            self.ledger.dead_letter(DeadLetter(record, error.reason, str(error)))
            self._reject(record)
            return Outcome.DEAD_LETTER
        return Outcome.ACCEPTED if any(fresh) else Outcome.DUPLICATE

    def _skip(self, unread: UnreadableBatch, now: float) -> Outcome | None:
        """Nobody knows which streams were inside: those that cannot tell by themselves are told."""
        first, time_ms = max(unread.offset, self.ledger.position), self.ledger.time_ms
        appended_ms = time_ms if unread.timestamp_ms is None else unread.timestamp_ms
        fresh = self.ledger.skip(first, unread.last_offset, appended_ms)
        self._lag.on_read(appended_ms, now)
        self._read_at = now
        for name, stream in self._streams.items():
            if stream.skip_unreadable(first, unread.last_offset):
                self._changed[name] = stream
        if not fresh:
            return None
        record = Record(self.partition, fresh.start, appended_ms, None, unread.raw, ())
        self.ledger.dead_letter(DeadLetter(record, unread.reason, unread.message, len(fresh)))
        return Outcome.DEAD_LETTER

    def score_requests(self) -> list[ScoreRequest]:
        """Audio to score before anything else can be decided; empty: all is decided."""
        requests = []
        for name, stream in list(self._changed.items()):
            request, heard = stream.score_request()
            self._closed.extend(heard)
            if request is None:
                self._scored[name] = self._changed.pop(name)
            else:
                requests.append(request)
        return requests

    def on_scores(self, request: ScoreRequest, probabilities: Float32Array) -> None:
        """Scores of what `listen` asked for."""
        self._closed.extend(self._streams[request.session.stream_id].on_scores(probabilities))

    def tick(self, now: float, *, caught_up: bool) -> None:
        """End what has stopped; `caught_up`: no record waits in Kafka.

        Then append time goes on as the monotonic clock does, for the brokers' clocks are not ours.
        """
        self._lag.on_poll(now, caught_up=caught_up)
        self._read_at = now if self._read_at is None else self._read_at
        pause_s = SWEEP_S * (1 + len(self._streams) / SWEPT)
        if now - self._swept_at < pause_s or self.ledger.position < self.ledger.restored_next:
            return
        self._swept_at = now
        time_ms = float(self.ledger.time_ms)
        if caught_up:
            time_ms += (now - self._read_at) * 1000
        for name, stream in list(self._streams.items()):
            if stream.is_over:
                self._forget(name, stream, time_ms)
            elif stream.last_ms < time_ms - self._policy.idle_s * 1000:
                self._changed[name] = stream
                stream.expire()
            elif self._stalls(name, stream, now, time_ms, caught_up=caught_up):
                self._changed[name] = stream
                stream.stall()

    def jobs(self, now: float, now_ms: int) -> tuple[list[Job], list[TranscriptFinal]]:
        """Utterances to be transcribed, once each; and finals of those that were already.

        `now_ms`: Unix time.
        """
        closed, self._closed = self._closed, []
        for heard in closed:
            self._sequencer.expect(heard)
            text = self._interims.text(heard, now_ms)
            tried = () if text is None else text.hypothesis.earlier
            if self._quarantine.includes(heard):
                self._quarantine.add(heard)
            elif text is not None and not tried:
                self._complete(heard, text, now)
            elif self._quarantine.is_unwritten(heard):
                self._quarantine.keep(heard)
            else:
                self._jobs.append(self._job(heard, now, tried=tried))
        for heard in self._quarantine.begin():
            self._complete(heard, None, now)
        return self._output()

    def interim_jobs(self, now: float) -> tuple[list[Job], list[UtteranceStarted]]:
        """Open utterances that are worth decoding now; and those that have begun."""
        listened, self._scored = self._scored, {}
        found = [draft for s in listened.values() if (draft := s.interim()) is not None]
        begun = [event for draft in found if (event := self._interims.begin(draft)) is not None]
        safe = [draft for draft in found if self._quarantine.is_beyond(draft)]
        return [self._draft_job(draft, now) for draft in safe if self._interims.wants(draft)], begun

    def on_interim(self, job: Job, text: TimedHypothesis) -> tuple[TranscriptPartial | None, bool]:
        """A draft's text has come: the partial, and whether it is the final's text too.

        Then it is told all the same: a partial is there at once, a final when it is committed.
        """
        heard = self._waiting.get(job.id)
        is_final = heard is not None and is_same(heard.utterance, job.utterance)
        asked = self._asked.get(job.id, ())
        draft = next((each for each in asked if each.utterance is job.utterance), None)
        if draft is None or (heard is not None and not is_final):
            return None, is_final
        self._asked[job.id] = asked[asked.index(draft) + 1 :]
        written = self._written(draft, text.hypothesis)
        return self._interims.decoded(draft, text, written), is_final

    def on_decoded(
        self, id_: UtteranceId, decoded: TimedHypothesis, now: float
    ) -> tuple[list[Job], list[TranscriptFinal]]:
        """The text of an utterance has come; what that brings, nothing where it was known before.

        Finals of others behind it that waited for it; and a job, if the utterance at hand is in
        another language than it was decoded as.
        """
        if (heard := self._waiting.pop(id_, None)) is not None:
            self._complete(heard, decoded, now)
        return self._output()

    def on_committed(self, commit: Commit, now: float) -> list[Job]:
        """The commit has been made; what may be decoded now that it is known to be tried."""
        self.ledger.on_committed(commit)
        written, tried = self._quarantine.on_committed(commit)
        jobs = [self._job(heard, now) for heard in written]
        return jobs if tried is None else [*jobs, self._job(tried, now, alone=True)]

    def _stream(self, name: str, state: StreamState | None = None) -> Stream:
        return Stream(self.partition, name, self._policy.stream, self.ledger, state)

    def _is_known(self, record: Record) -> bool:
        return any(name in self._streams for name in self._names(record))

    def _names(self, record: Record) -> tuple[str, ...]:
        """Of the streams that the record may belong to."""
        given = (record.key or b"").decode("latin-1")
        return (given, *names(given)) if self._policy.split_channels else (given,)

    def _addressed(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        first = chunks[0]
        if not self._policy.split_channels or len(first.samples):
            return chunks
        return addressed(first, self._is_open)

    def _is_open(self, name: str) -> bool:
        stream = self._streams.get(name)
        return stream is not None and not stream.is_over

    def _push(self, chunk: Chunk, now: float) -> bool:
        name = chunk.audio.stream_id
        stream = self._streams.get(name)
        if stream is None:
            self._admission.admit(name)
            stream = self._streams[name] = self._stream(name)
        self.read_s += len(chunk.samples) / chunk.rate
        self._last_s[name] = now
        self._changed[name] = stream
        return stream.push(chunk)

    def _reject(self, record: Record) -> None:
        """What a record held that cannot be used is missing in its stream."""
        for name in self._names(record):
            if (stream := self._streams.get(name)) is not None:
                self._changed[name] = stream
                stream.reject(record, _stated_seq(record))

    def _forget(self, name: str, stream: Stream, time_ms: float) -> None:
        """Once all of it is told, no replay would find it and no repeat of it is to be expected."""
        if self.ledger.waits(name):
            return
        crowded = len(self._streams) > self._policy.limits.streams // 2
        remembered_ms = CROWDED_MS if crowded else REMEMBERED_MS
        if stream.last_ms < time_ms - remembered_ms and stream.is_forgotten_at(
            self.ledger.committed.resume_offset
        ):
            self.ledger.forget(name)
            self._interims.forget(name)
            del self._streams[name]
            self._last_s.pop(name, None)

    def _stalls(
        self, name: str, stream: Stream, now: float, time_ms: float, *, caught_up: bool
    ) -> bool:
        """Whether what is open has to be decided without waiting for more."""
        if caught_up and stream.waits and self._last_s.get(name, now) < now - self._policy.stall_s:
            return True
        since_ms = stream.undecided_since_ms
        behind = since_ms is not None and since_ms < time_ms - BEHIND_MS
        return behind and not self.ledger.waits(name)

    def _complete(self, heard: PendingUtterance, text: TimedHypothesis | None, now: float) -> None:
        """What became of an utterance; None: it is given up."""
        told = self._sequencer.complete(heard, text)
        for each, its_text in told.settled:
            self._settle(each, its_text)
        session = heard.id.session
        self._streams[session.stream_id].set_language(session, told.language)
        if told.first is not None:
            self.ledger.set_language(told.first.entry, told.language)
        if told.redecode is not None:
            self._jobs.append(
                self._job(told.redecode, now, alone=self._quarantine.includes(told.redecode))
            )

    def _settle(self, heard: PendingUtterance, text: TimedHypothesis | None) -> None:
        self._quarantine.settle(heard.id)
        self._asked.pop(heard.id, None)
        self._interims.end(heard.id)
        if text is None:
            self._give_up(heard)
            return
        event = final(heard, text, self._policy.model, self._policy.finals)
        self.ledger.complete(heard.entry, event)
        self._finals.append(event)

    def _give_up(self, heard: PendingUtterance) -> None:
        message = f"{heard.attempts} decodes of it were begun, and each ended its worker"
        letter = DeadLetter(self._recording(heard), Reason.UNDECODABLE, message)
        self.ledger.complete(heard.entry, failed(heard, Reason.UNDECODABLE), letter)

    def _output(self) -> tuple[list[Job], list[TranscriptFinal]]:
        jobs, finals, self._jobs, self._finals = self._jobs, self._finals, [], []
        return jobs, finals

    def _recording(self, heard: PendingUtterance) -> Record:
        """The utterance as a record that could be published again."""
        headers = (
            ("codec", b"flac"),
            ("language", ",".join(heard.options.languages or ()).encode() or b"auto"),
            ("start", b"%d" % heard.utterance.start),
            ("captured_ms", b"%d" % heard.started_at_ms),
        )
        return Record(
            self.partition,
            heard.source.first_offset,
            heard.ended_at_ms,
            heard.id.session.stream_id.encode(),
            self._policy.write(heard.utterance),
            headers,
        )

    def _written(self, draft: InterimDecode, hypothesis: Hypothesis) -> Hypothesis | None:
        """As it would be published; None: it would not."""
        judged, shown = rendered(hypothesis, draft.utterance, draft.options, self._policy.finals)
        return None if judged.is_suppressed or hypothesis.earlier else shown

    def _draft_job(self, draft: InterimDecode, now: float) -> Job:
        before = self._asked.get(draft.id, ())[-1:]  # may be decoded just now; no more are kept
        self._asked[draft.id] = (*before, draft)
        return Job(
            id=draft.id,
            epoch=self.epoch,
            kind=JobKind.INTERIM,
            lane=self._policy.lane,
            closed_at=now,
            deadline=now + self._policy.interim.every_s,
            utterance=draft.utterance,
            options=replace(draft.options, words=True) if draft.options.partials else draft.options,
            language=draft.language,
        )

    def _job(
        self,
        heard: PendingUtterance,
        now: float,
        *,
        alone: bool = False,
        tried: tuple[Hypothesis, ...] = (),
    ) -> Job:
        self._waiting[heard.id] = heard
        return Job(
            id=heard.id,
            epoch=self.epoch,
            kind=JobKind.FINAL,
            lane=self._policy.lane,
            closed_at=now,
            deadline=now + self._policy.final_within_s,
            utterance=heard.utterance,
            options=heard.options,
            language=heard.language,
            isolated=alone,
            earlier=tried,
        )


def _stated_seq(record: Record) -> int | None:
    """The number that a record states, where it can be read at all."""
    stated = dict(record.headers).get("seq", b"")
    return int(stated) if stated.isdigit() and len(stated) < _LONGEST_SEQ else None


_LONGEST_SEQ = 16  # digits
