"""The utterances of a partition, from onset to the commit of their final; their only owner.

`utterance_state.py` defines the states and moves. This file executes the effects of each move: jobs
for the engine, entries in the ledger, events. Rules:

- Order: an utterance settles once all before it in its session have settled.
- Late replies: a reply for an utterance that is neither QUEUED nor DECODING, or to an older
  request, is ignored. So `cancel` is best effort, and the engine may reply twice.
- Poison: the number of attempts at a suspect is committed before its decode begins. Fallbacks,
  excerpts and the decode in another language belong to the same attempt.
- Interim decodes never delay a final. Their text becomes the final's only if it is accepted and of
  the same samples. No partial of an utterance is published once a newer one of its stream began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from consumer.core.audio.utterance import Utterance
from consumer.core.partition.commit import Commit, EntryId
from consumer.core.partition.interim import Interim, is_same, partial_text, started
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.quarantine import Quarantine
from consumer.core.partition.sequencer import UtteranceSequencer
from consumer.core.partition.state import Restored
from consumer.core.partition.step import ContainedError, Decode, Effects
from consumer.core.partition.utterance_jobs import final_job, interim_job, merged_text
from consumer.core.partition.utterance_state import (
    Excerpt,
    UtteranceMove,
    UtteranceRecord,
    UtteranceState,
)
from consumer.core.scheduling.jobs import JobFailure, JobKind
from consumer.core.scheduling.planner import RETRY_DELAY_S
from consumer.core.streams.entries import InterimDecode, OpenUtterance, PendingUtterance
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.records import SessionKey, UtteranceId
from consumer.core.text.events import failed, final, undecodable
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.core.text.missing_speech import MAX_EXCERPTS, excerpt, find_missing_speech
from schemas.audio import Task
from schemas.transcript import TranscriptFinal

Move = UtteranceMove


class Utterances:
    """The table of utterance records, with its indexes. Raises `IllegalMove`."""

    def __init__(
        self,
        policy: PartitionPolicy,
        ledger: Ledger,
        restored: Restored,
        set_language: Callable[[SessionKey, LanguageHold], None],
    ) -> None:
        """`set_language` is called with the held language of a session after each change."""
        self._policy = policy
        self._ledger = ledger
        self._set_language = set_language
        self._effects = Effects()
        self._records: dict[UtteranceId, UtteranceRecord] = {}
        self._newest: dict[str, UtteranceId] = {}  # by stream
        self._sequencer = UtteranceSequencer()
        self._quarantine = Quarantine(ledger, restored)
        self._settled: set[UtteranceId] = set()  # settled and not published yet

    @property
    def is_idle(self) -> bool:
        """Whether no utterance waits to be decoded, or is being decoded."""
        done = {UtteranceState.OPEN, UtteranceState.SETTLED}
        return all(record.state in done for record in self._records.values())

    def take_effects(self) -> Effects:
        """Return the effects since the last call."""
        effects, self._effects = self._effects, Effects()
        return effects

    # --- open utterances

    def on_open(
        self, opened: OpenUtterance, interim: Callable[[], InterimDecode], now: float
    ) -> None:
        """Note the onset of an open utterance; request a decode of `interim()` if it is due."""
        record = self._records.get(opened.id)
        if record is None or self._newest.get(opened.id.session.stream_id) != opened.id:
            record = self._open(interim())
        if record.interim is None or not record.interim.is_due(opened, self._policy.interim):
            return
        decode = interim()
        if self._quarantine.is_beyond(decode):
            record.interim.request(decode, self._policy.interim)
            record.advance(Move.INTERIM_SUBMITTED)
            self._effects.submit.append(interim_job(decode, self._policy, self._ledger.epoch, now))

    def forget(self, stream_id: str) -> None:
        """Drop the open utterance of an ended stream."""
        self._drop_newest(stream_id)

    def _open(self, decode: InterimDecode) -> UtteranceRecord:
        stream_id = decode.id.session.stream_id
        self._drop_newest(stream_id)
        record = self._records[decode.id] = UtteranceRecord(decode.id)
        record.advance(Move.ONSET)
        record.interim = Interim(decode.utterance.start)
        self._newest[stream_id] = decode.id
        if decode.options.partials:
            self._effects.broadcast.append(started(decode))
        return record

    def _drop_newest(self, stream_id: str) -> None:
        """End the interim decodes of a stream's newest utterance; drop it if it was never cut."""
        newest = self._newest.pop(stream_id, None)
        record = None if newest is None else self._records.get(newest)
        if record is None:
            return
        record.interim = None
        if record.state is UtteranceState.OPEN:
            del self._records[record.id]

    # --- closed utterances

    def on_closed(self, pending: PendingUtterance, entry: EntryId, now: float, now_ms: int) -> None:
        """Handle a closed utterance, whose ledger entry is `entry`."""
        record = self._records.get(pending.id) or UtteranceRecord(pending.id)
        known = None if record.interim is None else record.interim.text_of(pending.utterance)
        move = self._closing_move(pending, known)
        record.advance(move)
        self._records[pending.id] = record
        record.pending, record.entry, record.closed_at = pending, entry, now
        self._sequencer.expect(record)
        match move:
            case Move.CLOSED_SUSPECT:
                self._quarantine.add_suspect(record)
                self._try_suspects(now)
            case Move.CLOSED_KNOWN:
                assert known is not None
                self._on_text(record, replace(known, queue_ms=0, done_ms=now_ms), now)
            case Move.CLOSED_UNCOMMITTED:
                self._quarantine.add_uncommitted(record)
            case _:
                record.earlier = () if known is None else known.hypothesis.earlier
                self._submit(record, now)

    def _closing_move(
        self, pending: PendingUtterance, known: TimedHypothesis | None
    ) -> UtteranceMove:
        suspicion = self._quarantine.move_of(pending)
        if suspicion is Move.CLOSED_SUSPECT:
            return suspicion
        if known is not None and not known.hypothesis.earlier:
            return Move.CLOSED_KNOWN
        return suspicion or Move.CLOSED_READY

    def _try_suspects(self, now: float) -> None:
        for record in self._quarantine.begin():
            record.advance(Move.GIVEN_UP)
            self._settle(record.id.session, now)

    # --- replies of the engine

    def on_started(self, id_: UtteranceId) -> None:
        """Note that the engine has taken the final."""
        record = self._records.get(id_)
        if record is not None and record.state is UtteranceState.QUEUED:
            record.advance(Move.TAKEN)

    def on_decoded(self, decode: Decode, now: float) -> None:
        """Handle a text; a late one is ignored."""
        record = self._records.get(decode.job.id)
        if record is None:
            return
        is_final = record.is_awaited and decode.job.request == record.requests
        match decode.job.kind, decode.text:
            case JobKind.INTERIM, JobFailure():
                record.interim = None  # its other interim decodes would fail, too
            case JobKind.INTERIM, TimedHypothesis() as text:
                self._on_interim(record, decode.job.utterance, text, now)
            case JobKind.FINAL, JobFailure() as failure if is_final:
                self._on_failure(record, failure, now)
            case JobKind.FINAL, TimedHypothesis() as text if is_final:
                self._on_reply(record, text, now)

    def _on_failure(self, record: UtteranceRecord, failure: JobFailure, now: float) -> None:
        """Keep the text that the utterance has without this decode, if any."""
        record.advance(Move.FAILED)
        record.error = failure.error
        if record.excerpts:
            record.decoded = _merged(record, record.excerpts.pop().text)
        self._settle(record.id.session, now)

    def _on_interim(
        self, record: UtteranceRecord, utterance: Utterance, text: TimedHypothesis, now: float
    ) -> None:
        pending = record.pending
        is_final = (
            record.is_awaited
            and not record.excerpts
            and pending is not None
            and is_same(pending.utterance, utterance)
        )
        if not record.is_awaited or is_final:
            self._revise(record, utterance, text)
        if is_final:
            # The partial is published too: it arrives before the final, which waits for a commit.
            self._on_interim_of_final(record, text, now)

    def _revise(
        self, record: UtteranceRecord, utterance: Utterance, decoded: TimedHypothesis
    ) -> None:
        """Keep the text of an outstanding request, and publish its partial."""
        interim = record.interim
        request = None if interim is None else interim.answered(utterance)
        if interim is None or request is None:
            return
        if record.state is UtteranceState.OPEN:
            record.advance(Move.INTERIM_DECODED)
        interim.keep(request, decoded)
        try:
            text = partial_text(request, decoded.hypothesis, self._policy.finals)
        except Exception as error:  # noqa: BLE001 -- contained: an utterance may lack partials
            self._effects.contained.append(ContainedError(record.id, "partial", error))
            record.interim = None
            return
        if text is not None and request.options.partials:
            self._effects.broadcast.append(interim.revise(request, text))

    def _on_interim_of_final(
        self, record: UtteranceRecord, text: TimedHypothesis, now: float
    ) -> None:
        """Use the text, or its attempts, in place of the queued decode of the final."""
        if text.hypothesis.earlier and record.earlier:
            return  # the final has as many attempts
        self._effects.cancel.append(record.id)
        self._on_reply(record, text, now)

    def _on_reply(self, record: UtteranceRecord, text: TimedHypothesis, now: float) -> None:
        earlier = text.hypothesis.earlier
        if earlier and not record.excerpts:
            record.advance(Move.DOUBTED)
            record.earlier = earlier
            self._submit(record, now, RETRY_DELAY_S)
            return
        record.advance(Move.ACCEPTED)
        self._on_text(record, text, now)

    def _on_text(self, record: UtteranceRecord, text: TimedHypothesis, now: float) -> None:
        """Handle the text of the utterance, or of its innermost excerpt."""
        assert record.pending is not None
        utterance = record.excerpts[-1].utterance if record.excerpts else record.pending.utterance
        comparable = (record.pending.options.task or Task.TRANSCRIBE) is Task.TRANSCRIBE
        if comparable and len(record.excerpts) < MAX_EXCERPTS:
            missing = find_missing_speech(utterance.speech, utterance.seconds, text.hypothesis)
            if missing is not None:
                record.excerpts.append(Excerpt(text, missing, excerpt(utterance, missing)))
                record.advance(Move.MISSING_SPEECH)
                self._submit(record, record.closed_at)
                return
        record.decoded = _merged(record, text)
        self._settle(record.id.session, now)

    # --- settling

    def _settle(self, session: SessionKey, now: float) -> None:
        result = self._sequencer.settle(session)
        for record in result.settled:
            self._publish(record)
        self._set_language(session, result.language)
        if result.first is not None:
            assert result.first.entry is not None
            self._ledger.set_language(result.first.entry, result.language)
        if result.redecode is not None:
            result.redecode.advance(Move.OTHER_LANGUAGE)
            result.redecode.was_redecoded = True
            result.redecode.earlier = ()
            self._submit(result.redecode, now)
        if result.settled:
            self._try_suspects(now)

    def _publish(self, record: UtteranceRecord) -> None:
        pending, entry = record.pending, record.entry
        assert pending is not None
        assert entry is not None
        record.advance(Move.TURN_CAME)
        self._quarantine.settle(record)
        self._settled.add(record.id)
        if self._newest.get(record.id.session.stream_id) == record.id:
            del self._newest[record.id.session.stream_id]
        record.interim = None
        event = None if record.decoded is None else self._final(record, pending, record.decoded)
        if event is None:
            self._ledger.complete(entry, failed(pending), undecodable(pending, record.error))
            return
        self._ledger.complete(entry, event)
        self._effects.finals.append(event)

    def _final(
        self, record: UtteranceRecord, pending: PendingUtterance, decoded: TimedHypothesis
    ) -> TranscriptFinal | None:
        """Return the final, or None if an unexpected exception was raised for its text."""
        try:
            return final(pending, decoded, self._policy.model, self._policy.finals)
        except Exception as error:  # noqa: BLE001 -- contained: the utterance fails
            self._effects.contained.append(ContainedError(record.id, "final", error))
            record.error = type(error).__name__
            return None

    # --- commits

    def on_committed(self, commit: Commit, now: float) -> None:
        """Handle the commit, which the ledger has acknowledged."""
        committed, trial = self._quarantine.on_committed(commit)
        for record in committed:
            record.advance(Move.OFFSET_COMMITTED)
            self._submit(record, now)
        if trial is not None:
            trial.advance(Move.ATTEMPT_COMMITTED)
            trial.is_isolated = True
            self._submit(trial, now)
        for id_ in [each for each in self._settled if self._is_published(each)]:
            self._settled.remove(id_)
            self._records.pop(id_).advance(Move.PUBLISHED)

    def _is_published(self, id_: UtteranceId) -> bool:
        entry = self._records[id_].entry
        assert entry is not None
        return self._ledger.is_published(entry)

    # --- jobs

    def _submit(self, record: UtteranceRecord, since: float, within_s: float | None = None) -> None:
        """Submit the final, or its innermost excerpt.

        It is due `within_s` after `since` (monotonic seconds), by default the policy's.
        """
        within_s = self._policy.final_within_s if within_s is None else within_s
        record.requests += 1
        job = final_job(record, self._policy, self._ledger.epoch, since + within_s)
        self._effects.submit.append(job)


def _merged(record: UtteranceRecord, text: TimedHypothesis) -> TimedHypothesis:
    """Return the text of the utterance, given that of its innermost excerpt; end its excerpts."""
    while record.excerpts:
        text = merged_text(record.excerpts.pop(), text)
    return text
