from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from builders import INTERIM, PARTITION, Log, loud, policy, quiet
from structlog.testing import capture_logs

from bench.robustness.stage_faults import FaultStage, raising
from consumer.core.audio.utterance import Float32Array
from consumer.core.partition.commit import Commit
from consumer.core.partition.interim import InterimPolicy
from consumer.core.partition.state import GroupOffset, PartitionState, Tally
from consumer.core.scheduling.capacity import Backpressure, Budget
from consumer.core.scheduling.fold_audit import FoldAudit
from consumer.core.scheduling.jobs import Batch, Job, JobKind
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Assignment, Lane, Partition, Poll
from consumer.core.text.hypothesis import Hypothesis
from consumer.engine.local import LocalEngine
from consumer.errors import ConfigError, Fenced, Retriable, SttError
from consumer.interfaces import Shells, Timeouts
from consumer.metrics import Metrics
from consumer.pipeline import MAX_READ_S, Pipeline
from consumer.testing import (
    EchoEngine,
    InlineCodecs,
    ManualClock,
    MemoryBroadcast,
    MemoryJournal,
    MemoryStore,
    ScriptedSource,
)
from consumer.watchdog import STUCK_S
from schemas.audio import StreamOptions
from schemas.errors import Reason
from schemas.transcript import (
    StreamEnded,
    StreamLoss,
    StreamStarted,
    StreamWarning,
    TranscriptFinal,
    TranscriptPartial,
    UtteranceFailed,
)

TIMEOUTS = Timeouts(coalesce_s=0.02, progress_s=5.0, retry_s=1.0, halt_s=30.0, drain_s=15.0)
PARTIALS = StreamOptions(partials=True)
ASSIGNED = Poll(assigned=(Assignment(PARTITION, Lane.LIVE),))


def pipeline(
    source: ScriptedSource,
    engine: EchoEngine,
    store: MemoryStore,
    fold_audit_share: float = 0.0,
    metrics: Metrics | None = None,
    broadcast: MemoryBroadcast | None = None,
    interim: InterimPolicy = INTERIM,
    clock: ManualClock | None = None,
    timeouts: Timeouts = TIMEOUTS,
    **changes: float,
) -> Pipeline:
    clock, metrics = clock or ManualClock(), metrics or Metrics()
    planner = Planner(Budget(positions=4096, rows=16))
    audit = FoldAudit(fold_audit_share)
    return Pipeline(
        Shells(
            source=source,
            codecs=InlineCodecs(),
            detector=engine,
            engine=LocalEngine(engine, planner, clock, metrics, audit),
            store=store,
            broadcast=broadcast or MemoryBroadcast(),
            clock=clock,
        ),
        {lane: policy(lane, interim, **changes) for lane in Lane},
        {lane: Backpressure(60, 30) for lane in Lane},
        timeouts=timeouts,
        metrics=metrics,
    )


async def run(
    polls: Sequence[Poll | Exception],
    engine: EchoEngine | None = None,
    store: MemoryStore | None = None,
) -> MemoryStore:
    stop = asyncio.Event()
    store = store or MemoryStore()
    await pipeline(ScriptedSource(polls, stop), engine or EchoEngine(), store).run(stop)
    return store


def polls_of(log: Log, size: int = 7) -> list[Poll]:
    starts = range(0, len(log.records), size)
    return [ASSIGNED, *(Poll(records=tuple(log.records[at : at + size])) for at in starts)]


def two_streams() -> Log:
    log, one, two = Log(), Log(), Log()
    one.speak("one", np.concatenate([quiet(1), loud(2), quiet(1), loud(1), quiet(1)]), end=True)
    two.speak("two", np.concatenate([loud(3), quiet(2)]), end=True)
    for pair in itertools.zip_longest(one.records, two.records):
        for record in filter(None, pair):
            log.append_raw(record.key, record.value, record.headers)
    return log


async def test_each_stream_publishes_start_finals_and_end_in_order() -> None:
    store = await run(polls_of(two_streams()))
    by_stream = {s: [e for e in store.events if e.stream_id == s] for s in ("one", "two")}
    assert [type(e) for e in by_stream["one"]] == [
        StreamStarted,
        TranscriptFinal,
        TranscriptFinal,
        StreamEnded,
    ]
    assert [type(e) for e in by_stream["two"]] == [StreamStarted, TranscriptFinal, StreamEnded]
    for events in by_stream.values():
        assert [e.index for e in events] == list(range(len(events)))


async def test_a_flood_of_streams_is_logged_once_and_names_the_setting() -> None:
    log, stop, metrics = Log(), asyncio.Event(), Metrics()
    for number in range(100):
        log.append_raw(b"stream-%d" % number, loud(0.1).tobytes())
    source, store = ScriptedSource(polls_of(log), stop), MemoryStore()
    with capture_logs() as lines:
        await pipeline(source, EchoEngine(), store, metrics=metrics, streams=2).run(stop)
    (line,) = [line for line in lines if line["event"] == "new streams rejected"]
    assert line["log_level"] == "warning"
    assert "STREAMSCRIBE_MAX_STREAMS" in line["error"]
    reasons = {letter.reason for letter in store.dead_letters}
    assert reasons == {Reason.TOO_MANY_STREAMS}
    count = metrics.registry.get_sample_value
    assert count("streamscribe_dead_letters_total", {"reason": "too_many_streams"}) == 10
    assert count("streamscribe_records_total", {"outcome": "refused"}) == 88


async def test_the_last_commit_is_clean_and_at_the_end_of_the_log() -> None:
    log = two_streams()
    store = await run(polls_of(log))
    state = store.commits[-1].state
    assert state.next_offset == state.resume_offset == len(log.records)
    assert state.clean


async def test_an_empty_commit_proves_ownership_before_a_partition_is_read() -> None:
    store = await run([ASSIGNED, *[Poll()] * 5])
    assert [commit.events for commit in store.commits] == [(), ()]
    assert not store.commits[0].state.clean
    assert store.commits[-1].state.clean


@pytest.mark.parametrize("error", [Retriable("no answer"), Fenced("a newer owner")])
async def test_after_a_failed_commit_records_are_read_again_and_nothing_is_repeated(
    error: Exception,
) -> None:
    expected = await run(polls_of(two_streams()))
    polls = [*polls_of(two_streams()), *[Poll()] * 50]
    store = await run(polls, store=MemoryStore([None, error, None, error]))
    assert store.opened == 3
    assert texts(store) == texts(expected)


@pytest.mark.parametrize("stage", [FaultStage.ORDER, FaultStage.CUT])
async def test_a_fault_of_one_stream_opens_its_partition_again_and_harms_no_other(
    stage: FaultStage,
) -> None:
    expected = await run(polls_of(two_streams()))
    store, metrics, stop, call = MemoryStore(), Metrics(), asyncio.Event(), itertools.count()
    source = ScriptedSource([*polls_of(two_streams()), *[Poll()] * 50], stop)
    with (
        raising(stage, lambda stream_id: stream_id == "two" and next(call) == 5),
        capture_logs() as lines,
    ):
        await pipeline(source, EchoEngine(), store, metrics=metrics).run(stop)
    assert store.opened == 2
    assert [each for each in texts(store) if each[0] == "one"] == texts(expected)[:2]
    assert {letter.reason for letter in store.dead_letters} == {Reason.INTERNAL_ERROR}
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert (line["stream"], line["error"]) == ("two", "StageError")
    assert "in faulty" in line["traceback"]
    count = metrics.registry.get_sample_value
    assert count("streamscribe_contained_errors_total", {"stage": "stream"}) == 1


async def test_a_final_that_cannot_be_rendered_is_logged_without_its_text() -> None:
    store, metrics, stop = MemoryStore(), Metrics(), asyncio.Event()
    source = ScriptedSource(polls_of(two_streams()), stop)
    with raising(FaultStage.FINAL, lambda stream_id: stream_id == "two"), capture_logs() as lines:
        await pipeline(source, EchoEngine(), store, metrics=metrics).run(stop)
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert (line["event"], line["stream"], line["utterance"]) == ("text failed", "two", 0)
    assert "samples" not in str(line)
    assert [each[0] for each in texts(store)] == ["one", "one"]
    count = metrics.registry.get_sample_value
    assert count("streamscribe_contained_errors_total", {"stage": "final"}) == 1


async def test_a_commit_without_an_answer_is_not_repeated() -> None:
    expected = await run(polls_of(two_streams()))
    store = MemoryStore()
    store.lost_answers = 3
    await run([*polls_of(two_streams()), *[Poll()] * 50], store=store)
    assert store.opened == 4
    assert texts(store) == texts(expected)


class FailingFinals(MemoryStore):
    """A store that fails the first `times` commits with a final."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    def accept(self, journal: MemoryJournal, commit: Commit) -> None:
        if self._times and any(isinstance(event, TranscriptFinal) for event in commit.events):
            self._times -= 1
            raise ConfigError("no right to write")
        super().accept(journal, commit)


async def test_failed_commits_do_not_count_as_attempts() -> None:
    """After an unclean end each attempt is committed; failed commits do not count as attempts."""
    expected = await run(polls_of(two_streams()))
    store = FailingFinals(times=8)
    unclean = PartitionState(next_offset=60, resume_offset=0, clean=False)
    store.write(Commit(PARTITION, 1, (), (), unclean, (), (), 0, ()))
    await run([*polls_of(two_streams()), *[Poll()] * 200], store=store)
    assert not any(isinstance(event, UtteranceFailed) for event in store.events)
    assert texts(store) == texts(expected)


def texts(store: MemoryStore) -> list[tuple[str, int, str]]:
    finals = [event for event in store.events if isinstance(event, TranscriptFinal)]
    return sorted((final.stream_id, final.utterance, final.text) for final in finals)


async def test_a_partition_kept_in_a_rebalance_is_not_opened_again() -> None:
    log = two_streams()
    polls = polls_of(log)
    store = await run([*polls[:5], ASSIGNED, *[Poll()] * 20, ASSIGNED, *polls[5:]])
    assert store.opened == 1
    assert len(texts(store)) == 3


async def test_lost_state_halts_the_partition() -> None:
    store = MemoryStore()
    store.group_offset = GroupOffset(7)
    stop = asyncio.Event()
    metrics = Metrics()
    source = ScriptedSource([ASSIGNED, *[Poll()] * 50], stop)
    await pipeline(source, EchoEngine(), store, metrics=metrics).run(stop)
    assert store.commits == []
    assert source.positions == {}


async def test_an_unreadable_batch_is_one_dead_letter_and_later_records_are_transcribed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A later commit fails, so the batch is read twice."""
    log, store, metrics = Log(), MemoryStore([None, Retriable("no answer")]), Metrics()
    log.append_unreadable(3)
    log.speak("one", loud(1), end=True)
    polls = [ASSIGNED, Poll(records=tuple(log.records[2:])), *[Poll()] * 50]
    stop = asyncio.Event()
    source = ScriptedSource(polls, stop)
    await pipeline(source, EchoEngine(), store, metrics=metrics).run(stop)
    (letter,) = store.dead_letters
    assert (letter.record.offset, letter.records) == (0, 3)
    assert len(texts(store)) == 1
    assert store.commits[-1].state.tally == Tally(accepted=10, dead_letter=3)
    logged = capsys.readouterr().out
    assert "last_offset=2" in logged
    assert "streamscribe dlq" in logged
    skipped = metrics.registry.get_sample_value(
        "streamscribe_batches_skipped_total", {"reason": "corrupt_batch"}
    )
    assert skipped == logged.count("batch skipped") == store.opened


async def test_records_deleted_unread_are_reported_as_a_loss() -> None:
    log, store = Log(), MemoryStore()
    log.speak("one", np.concatenate([loud(2), quiet(1), loud(2), quiet(1)]), end=False)
    await run(polls_of(log), store=store)
    log.speak("one", loud(2), end=True)
    store.log_start = 70
    records = [r for r in log.records if r.offset >= 70]
    await run([ASSIGNED, Poll(records=tuple(records))], store=store)
    (loss,) = [event for event in store.events if isinstance(event, StreamLoss)]
    assert loss.last_offset == 69
    assert [e.index for e in store.events if e.session_id == loss.session_id] == list(
        range(len([e for e in store.events if e.session_id == loss.session_id]))
    )


async def test_a_failed_poll_is_retried() -> None:
    polls = polls_of(two_streams())
    store = await run([*polls[:2], Retriable("no broker answers"), *polls[2:]])
    assert len([e for e in store.events if isinstance(e, TranscriptFinal)]) == 3


async def test_results_of_a_revoked_partition_are_dropped() -> None:
    log = Log()
    log.speak("one", np.concatenate([loud(2), quiet(1)]), end=True)

    class Slow(EchoEngine):
        """Answers only after the partition is revoked."""

        revoked = asyncio.Event()

        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            await self.revoked.wait()
            return await super().transcribe(batch)

    engine = Slow()

    class Revoking(ScriptedSource):
        async def poll(self, lanes: frozenset[Lane]) -> Poll:
            poll = await super().poll(lanes)
            if poll.assigned == ():
                engine.revoked.set()
            return poll

    stop, store = asyncio.Event(), MemoryStore()
    polls = [ASSIGNED, Poll(records=tuple(log.records)), Poll(assigned=())]
    await pipeline(Revoking(polls, stop), engine, store).run(stop)
    assert engine.batches
    assert not [e for e in store.events if isinstance(e, TranscriptFinal)]


async def test_bulk_is_not_fetched_while_live_speech_waits() -> None:
    live = Log()
    for stream in range(20):
        live.speak(f"s{stream}", np.concatenate([loud(10), quiet(1)]), end=True)

    class Stuck(EchoEngine):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            await stop.wait()
            return await super().transcribe(batch)

    stop = asyncio.Event()
    source = ScriptedSource([*polls_of(live, 10_000), Poll(), Poll()], stop)
    await pipeline(source, Stuck(), MemoryStore()).run(stop)
    assert source.asked_for[0] == {Lane.LIVE, Lane.BULK}
    assert source.asked_for[-1] == frozenset()


async def test_the_watchdog_ends_a_worker_whose_polls_do_not_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither polls nor offset commits return."""

    class Silent(ScriptedSource):
        async def poll(self, lanes: frozenset[Lane]) -> Poll:
            return await (asyncio.Future() if self.asked_for else super().poll(lanes))

        async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
            clock.advance(2 * STUCK_S)
            await asyncio.Future()

    monkeypatch.setattr("consumer.watchdog.HEARTBEAT_S", 0.001)
    clock, source = ManualClock(), Silent([ASSIGNED], asyncio.Event())
    timeouts = replace(TIMEOUTS, progress_s=0.001)
    service = pipeline(source, EchoEngine(), MemoryStore(), clock=clock, timeouts=timeouts)
    with pytest.RaisesGroup(
        pytest.RaisesExc(SttError, match="no poll of Kafka has returned for 60 s")
    ):
        async with asyncio.timeout(10):
            await service.run(asyncio.Event())


async def test_a_drain_does_not_wait_for_offset_commits() -> None:
    class Silent(ScriptedSource):
        async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
            stop.set()
            await asyncio.Future()

    stop = asyncio.Event()
    source = Silent(itertools.chain([ASSIGNED], itertools.repeat(Poll())), asyncio.Event())
    service = pipeline(
        source, EchoEngine(), MemoryStore(), timeouts=replace(TIMEOUTS, progress_s=0.001)
    )
    async with asyncio.timeout(10):
        await service.run(stop)


async def test_an_engine_that_fails_ends_the_run() -> None:
    class Broken(EchoEngine):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            raise RuntimeError("device lost")

    with pytest.raises(ExceptionGroup, match="unhandled") as raised:
        await run(polls_of(two_streams()), engine=Broken())
    assert raised.group_contains(RuntimeError, match="device lost")


async def test_the_session_id_of_a_bulk_stream_begins_with_b() -> None:
    log = Log(Partition("speech.audio.bulk.v1", 0))
    log.speak("file", np.concatenate([loud(1), quiet(1)]), end=True)
    assigned = Poll(assigned=(Assignment(log.partition, Lane.BULK),))
    store = await run([assigned, Poll(records=tuple(log.records))])
    assert {e.session_id for e in store.events} == {"b0-0"}


async def test_folded_texts_are_audited_while_idle() -> None:
    """A fold with other texts changes the metric but nothing that is published."""

    class Folding(EchoEngine):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            hypotheses = await super().transcribe(batch)
            text = "padded" if batch.padded else "text of a broken fold"
            return [replace(h, text=text, folded=not batch.padded) for h in hypotheses]

    stop, store, metrics = asyncio.Event(), MemoryStore(), Metrics()
    log = two_streams()
    polls = [*polls_of(log, len(log.records)), *[Poll()] * 200]
    await pipeline(ScriptedSource(polls, stop), Folding(), store, 1.0, metrics).run(stop)
    texts = {e.text for e in store.events if isinstance(e, TranscriptFinal)}
    assert texts == {"text of a broken fold"}
    checked = metrics.registry.get_sample_value("streamscribe_fold_disagreement_count")
    disagreement = metrics.registry.get_sample_value("streamscribe_fold_disagreement_sum")
    assert checked == 3
    assert disagreement is not None
    assert disagreement > 3 * 0.5


async def test_a_probable_end_is_decoded_before_the_cut() -> None:
    """Its text becomes the final, so each utterance is decoded once."""
    log = Log()
    log.speak("one", np.concatenate([loud(2), quiet(1), loud(1), quiet(1)]), end=True)
    stop, store, engine = asyncio.Event(), MemoryStore(), EchoEngine()
    polls = [ASSIGNED]
    for record in log.records:
        polls += [Poll(records=(record,)), Poll(), Poll()]
    source = ScriptedSource(polls, stop)
    await pipeline(source, engine, store, interim=InterimPolicy(0.7, eager=True)).run(stop)
    jobs = [job for batch in engine.batches for job in batch]
    assert [job.kind for job in jobs] == [JobKind.INTERIM] * 2
    expected = await run(polls_of(log))
    assert texts(store) == texts(expected)


@pytest.mark.parametrize(
    ("header", "value", "problem"),
    [
        ("prompt", b"\xff", "not UTF-8"),
        ("prompt", b"x" * 1001, "at most 1000"),
        ("hotwords", b"Kafka " * 200, "at most 1000"),
        ("task", b"summarise", "transcribe, translate"),
        ("words", b"maybe", "neither 1 nor 0"),
        ("partials", b"yes", "neither 1 nor 0"),
        ("endpoint_ms", b"100", "200 to 2000"),
        ("endpoint_ms", b"2001", "200 to 2000"),
        ("language", b",".join([b"en"] + [b"en-x-%d" % n for n in range(16)]), "at most 16"),
        ("language", b"yue", "does not know yue"),
    ],
)
async def test_an_invalid_option_has_one_warning_and_the_default_applies(
    header: str, value: bytes, problem: str
) -> None:
    store = await run(polls_of(log_with_header(header, value)))
    assert [type(e) for e in store.events] == [
        StreamStarted,
        StreamWarning,
        TranscriptFinal,
        StreamEnded,
    ]
    (warning,) = [event for event in store.events if isinstance(event, StreamWarning)]
    assert warning.message.startswith(f"{header}: ")
    assert problem in warning.message
    assert warning.message.endswith("the default applies")
    expected = await run(polls_of(log_with_header("seq", b"0")))
    assert texts(store) == texts(expected)
    assert store.dead_letters == []


async def test_each_invalid_option_has_its_own_warning() -> None:
    log = log_with_header("endpoint_ms", b"0")
    first = log.records[0]
    log.records[0] = first._replace(headers=(*first.headers, ("task", b"sing"), ("words", b"2")))
    store = await run(polls_of(log))
    warnings = [event for event in store.events if isinstance(event, StreamWarning)]
    options = {warning.message.split(":")[0] for warning in warnings}
    assert len(warnings) == len(options) == 3


async def test_an_unknown_language_is_a_warning_and_no_audio_is_lost() -> None:
    log = log_with_header("language", b"klingon")
    store = await run(polls_of(log))
    assert store.dead_letters == []
    (warning,) = [event for event in store.events if isinstance(event, StreamWarning)]
    assert "klingon" in warning.message
    assert warning.message.endswith("the default applies")


async def test_a_poll_of_very_long_records_is_processed_in_parts() -> None:
    """A few megabytes of compressed records may hold hours of audio."""
    log = Log()
    log.speak("one", np.tile(np.concatenate([loud(5), quiet(5)]), 99), chunk_s=30.0, end=True)

    class Measuring(EchoEngine):
        largest_s = 0.0

        async def score(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
            self.largest_s = max(self.largest_s, sum(len(r.samples) / r.rate for r in requests))
            return await super().score(requests)

    engine = Measuring()
    polls = [*polls_of(log, len(log.records)), *[Poll()] * 5]
    store = await run(polls, engine)
    assert engine.largest_s <= MAX_READ_S + 30.0
    assert texts(store) == texts(await run(polls_of(log, 1)))
    assert len(texts(store)) == 99


def log_with_header(header: str, value: bytes) -> Log:
    """Return a log of one stream whose first record has this header."""
    log = Log()
    log.speak("one", np.concatenate([loud(2), quiet(1)]), end=True)
    first = log.records[0]
    others = tuple(pair for pair in first.headers if pair[0] != header)
    log.records[0] = first._replace(headers=(*others, (header, value)))
    return log


class UnacceptedTexts(EchoEngine):
    """Accepts texts of stream "one" only at the third attempt; decodes wait for `until`."""

    def __init__(self, until: asyncio.Event | None = None) -> None:
        super().__init__()
        self._until = until

    async def transcribe(self, batch: Batch) -> list[Hypothesis]:
        if self._until is not None:
            await self._until.wait()
        found = await super().transcribe(batch)
        return [_text_of_attempt(job, text) for job, text in zip(batch.jobs, found, strict=True)]


def _text_of_attempt(job: Job, text: Hypothesis) -> Hypothesis:
    is_accepted = job.id.session.stream_id != "one" or len(job.earlier) == 2
    return text if is_accepted else replace(text, earlier=(*job.earlier, text))


@pytest.mark.parametrize("in_flight", [False, True])
async def test_an_unaccepted_interim_text_is_not_published_and_counts_as_an_attempt(
    *, in_flight: bool
) -> None:
    """Both if its decode ends before the cut and if it is still in flight then."""
    log, stop, store, broadcast = Log(), asyncio.Event(), MemoryStore(), MemoryBroadcast()
    log.speak("one", np.concatenate([loud(2), quiet(1)]), end=True, options=PARTIALS)
    polls = [poll for r in log.records for poll in (Poll(records=(r,)), Poll(), Poll())]
    source = ScriptedSource([ASSIGNED, *polls], stop)
    engine = UnacceptedTexts(until=stop if in_flight else None)
    interim = InterimPolicy(9.0, eager=True)
    await pipeline(source, engine, store, broadcast=broadcast, interim=interim).run(stop)
    jobs = [(job.kind, len(job.earlier)) for batch in engine.batches for job in batch]
    assert jobs == [(JobKind.INTERIM, 0), (JobKind.FINAL, 1), (JobKind.FINAL, 2)]
    assert not [event for event in broadcast.events if isinstance(event, TranscriptPartial)]
    assert texts(store) == texts(await run(polls_of(log)))


async def test_an_interim_text_that_arrives_after_the_cut_is_published_before_the_final() -> None:
    """A partial is published at once, a final with its commit; both come from one decode."""

    class Late(EchoEngine):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            await spoken.wait()
            return await super().transcribe(batch)

    def polls() -> Iterator[Poll]:
        yield ASSIGNED
        for record in log.records:
            yield from (Poll(records=(record,)), Poll(), Poll())
        spoken.set()
        yield from [Poll()] * 20

    log, stop, store, broadcast = Log(), asyncio.Event(), MemoryStore(), MemoryBroadcast()
    log.speak("one", np.concatenate([loud(2), quiet(1)]), end=True, options=PARTIALS)
    source, engine, spoken = ScriptedSource(polls(), stop), Late(), asyncio.Event()
    interim = InterimPolicy(9.0, eager=True)
    await pipeline(source, engine, store, broadcast=broadcast, interim=interim).run(stop)
    assert [job.kind for batch in engine.batches for job in batch] == [JobKind.INTERIM]
    (final,) = (event for event in store.events if isinstance(event, TranscriptFinal))
    (partial,) = (event for event in broadcast.events if isinstance(event, TranscriptPartial))
    assert (partial.utterance, partial.stable_text) == (final.utterance, final.text)


async def test_other_finals_are_decoded_before_the_retry_of_an_unaccepted_text() -> None:
    log, stop, store, metrics = Log(), asyncio.Event(), MemoryStore(), Metrics()
    for name in ("one", "two"):
        log.speak(name, np.concatenate([loud(1), quiet(1)]), end=True)
    engine = UnacceptedTexts(until=stop)
    await pipeline(ScriptedSource(polls_of(log), stop), engine, store, metrics=metrics).run(stop)
    order = [[(job.id.session.stream_id, len(job.earlier)) for job in b] for b in engine.batches]
    assert order == [[("one", 0)], [("two", 0)], [("one", 1)], [("one", 2)]]
    assert texts(store) == texts(await run(polls_of(log)))
    assert metrics.registry.get_sample_value("streamscribe_retries_total") == 2


async def test_an_unaccepted_text_is_published_while_the_engine_has_no_room() -> None:
    """The engine takes all the time there is; the text is the best so far."""

    class Slow(UnacceptedTexts):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            clock.advance(100.0)
            return await super().transcribe(batch)

    log, stop, store, metrics = Log(), asyncio.Event(), MemoryStore(), Metrics()
    log.speak("one", np.concatenate([loud(1), quiet(1)]), end=True)
    engine, clock = Slow(), ManualClock()
    source = ScriptedSource(polls_of(log), stop)
    await pipeline(source, engine, store, metrics=metrics, clock=clock).run(stop)
    assert [[len(job.earlier) for job in batch] for batch in engine.batches] == [[0]]
    assert texts(store) == texts(await run(polls_of(log)))
    assert metrics.registry.get_sample_value("streamscribe_retries_spared_total") == 1


@pytest.mark.parametrize("error", [Retriable("no answer"), Fenced("a newer owner")])
async def test_earlier_texts_are_dropped_when_a_partition_is_reopened(error: Exception) -> None:
    polls, engine = [*polls_of(two_streams()), *[Poll()] * 50], UnacceptedTexts()
    store = await run(polls, engine, MemoryStore([None, error, None, error]))
    assert store.opened == 3
    assert texts(store) == texts(await run(polls_of(two_streams())))
    epochs = {}
    for job in (job for batch in engine.batches for job in batch):
        assert len(job.earlier) == epochs.get((job.epoch, job.id), 0)
        epochs[job.epoch, job.id] = len(job.earlier) + 1


async def test_partials_are_broadcast_and_a_failed_broadcast_is_ignored() -> None:
    log = Log()
    audio = np.concatenate([loud(3), quiet(1)])
    log.speak("one", audio, end=True, options=PARTIALS)
    stop, store, broadcast = asyncio.Event(), MemoryStore(), MemoryBroadcast(failures=1)
    polls = [ASSIGNED]
    for record in log.records:
        polls += [Poll(records=(record,)), Poll(), Poll()]
    source = ScriptedSource(polls, stop)
    await pipeline(source, EchoEngine(), store, broadcast=broadcast).run(stop)
    partials = [event for event in broadcast.events if isinstance(event, TranscriptPartial)]
    assert [event.revision for event in partials] == [1, 2, 3, 4, 5]
    assert {event.utterance for event in partials} == {0}
    assert not [event for event in store.events if isinstance(event, TranscriptPartial)]
    assert len(texts(store)) == 1
