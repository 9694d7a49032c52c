from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from builders import PARTITION, Log, loud, policy, quiet

from consumer.core.admission import Admission
from consumer.core.budget import Budget
from consumer.core.planner import Planner
from consumer.core.progress import Commit
from consumer.core.shadow import Shadow
from consumer.core.values import Assignment, Batch, Hypothesis, Lane, Partition, Poll
from consumer.errors import Retriable
from consumer.metrics import Metrics
from consumer.pipeline import Pace, Pipeline
from consumer.testing import EchoEngine, ManualClock, RecordingSink, ScriptedSource
from schemas.transcript import StreamEnded, StreamStarted, TranscriptFinal

PACE = Pace(coalesce_s=0.02, progress_s=5.0, retry_s=1.0, drain_s=15.0)
ASSIGNED = Poll(assigned=(Assignment(PARTITION, 1, Lane.LIVE, 0),))


def pipeline(
    source: ScriptedSource,
    engine: EchoEngine,
    sink: RecordingSink,
    shadow_share: float = 0.0,
    metrics: Metrics | None = None,
) -> Pipeline:
    return Pipeline(
        (source, engine, sink),
        {lane: policy(lane) for lane in Lane},
        Planner(Budget(positions=4096, rows=16)),
        {lane: Admission(60, 30) for lane in Lane},
        shadow=Shadow(shadow_share),
        pace=PACE,
        metrics=metrics or Metrics(),
        clock=ManualClock(),
    )


async def run(
    polls: Sequence[Poll | Exception],
    engine: EchoEngine | None = None,
    sink: RecordingSink | None = None,
) -> RecordingSink:
    stop = asyncio.Event()
    sink = sink or RecordingSink()
    await pipeline(ScriptedSource(polls, stop), engine or EchoEngine(), sink).run(stop)
    return sink


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


async def test_finals_of_all_streams_come_out_in_order_between_start_and_end() -> None:
    sink = await run(polls_of(two_streams()))
    by_stream = {s: [e for e in sink.events if e.stream_id == s] for s in ("one", "two")}
    assert [type(e) for e in by_stream["one"]] == [
        StreamStarted,
        TranscriptFinal,
        TranscriptFinal,
        StreamEnded,
    ]
    assert [type(e) for e in by_stream["two"]] == [StreamStarted, TranscriptFinal, StreamEnded]
    for events in by_stream.values():
        assert [e.index for e in events] == list(range(len(events)))


async def test_progress_reaches_the_end_of_the_log() -> None:
    log = two_streams()
    sink = await run(polls_of(log))
    assert sink.commits[-1].next_offset == sink.commits[-1].resume_offset == len(log.records)


async def test_a_commit_that_fails_is_tried_again_and_nothing_is_lost() -> None:
    sink = await run(polls_of(two_streams()), sink=RecordingSink(failures=3))
    assert sink.failures == 0
    assert len([e for e in sink.events if isinstance(e, TranscriptFinal)]) == 3


async def test_brokers_that_do_not_answer_are_asked_again() -> None:
    polls = polls_of(two_streams())
    sink = await run([*polls[:2], Retriable("no broker answers"), *polls[2:]])
    assert len([e for e in sink.events if isinstance(e, TranscriptFinal)]) == 3


async def test_records_of_a_partition_that_was_lost_at_a_commit_are_left_alone() -> None:
    sink = await run(
        [*polls_of(two_streams()), *[Poll()] * 20], sink=RecordingSink(fenced={PARTITION})
    )
    assert sink.commits == []


async def test_a_commit_of_an_older_assignment_does_not_end_the_newer_one() -> None:
    again = Poll(revoked=(PARTITION,), assigned=(Assignment(PARTITION, 2, Lane.LIVE, 0),))

    class Late(RecordingSink):
        """Learns that a commit does not stand when the partition has been assigned anew."""

        assigned = asyncio.Event()

        async def commit(self, commits: Sequence[Commit]) -> list[Commit]:
            if commits[0].epoch == 1:
                await self.assigned.wait()
                return []
            return await super().commit(commits)

    class Assigning(ScriptedSource):
        """Assigns the partition anew while its first commit is in flight."""

        async def poll(self, lanes: frozenset[Lane]) -> Poll:
            poll = await super().poll(lanes)
            if poll is again:
                sink.assigned.set()
            return poll

    stop, sink, polls = asyncio.Event(), Late(), polls_of(two_streams())
    source = Assigning([*polls, *[Poll()] * 20, again, *[Poll()] * 20, *polls[1:]], stop)
    await pipeline(source, EchoEngine(), sink).run(stop)
    assert {commit.epoch for commit in sink.commits} == {2}
    assert len([e for e in sink.events if isinstance(e, TranscriptFinal)]) == 3


async def test_results_of_a_revoked_partition_are_dropped() -> None:
    log = Log()
    log.speak("one", np.concatenate([loud(2), quiet(1)]), end=True)

    class Slow(EchoEngine):
        """Answers once the partition has gone."""

        gone = asyncio.Event()

        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            await self.gone.wait()
            return await super().transcribe(batch)

    engine = Slow()

    class Revoking(ScriptedSource):
        async def poll(self, lanes: frozenset[Lane]) -> Poll:
            poll = await super().poll(lanes)
            if poll.revoked:
                engine.gone.set()
            return poll

    stop, sink = asyncio.Event(), RecordingSink()
    polls = [ASSIGNED, Poll(records=tuple(log.records)), Poll(revoked=(PARTITION,))]
    await pipeline(Revoking(polls, stop), engine, sink).run(stop)
    assert engine.batches
    assert not [e for e in sink.events if isinstance(e, TranscriptFinal)]


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
    await pipeline(source, Stuck(), RecordingSink()).run(stop)
    assert source.asked_for[0] == {Lane.LIVE, Lane.BULK}
    assert source.asked_for[-1] == frozenset()


async def test_an_engine_that_fails_ends_the_run() -> None:
    class Broken(EchoEngine):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            raise RuntimeError("device lost")

    with pytest.raises(ExceptionGroup, match="unhandled") as raised:
        await run(polls_of(two_streams()), engine=Broken())
    assert raised.group_contains(RuntimeError, match="device lost")


async def test_a_bulk_session_is_told_from_a_live_one_by_its_name() -> None:
    log = Log(Partition("speech.audio.bulk.v1", 0))
    log.speak("file", np.concatenate([loud(1), quiet(1)]), end=True)
    assigned = Poll(assigned=(Assignment(log.partition, 1, Lane.BULK, 0),))
    sink = await run([assigned, Poll(records=tuple(log.records))])
    assert {e.session_id for e in sink.events} == {"b0-0"}


async def test_a_share_of_folded_texts_is_checked_once_nothing_waits() -> None:
    """A fold that writes other words shows in the metric, and in nothing that is published."""

    class Folding(EchoEngine):
        async def transcribe(self, batch: Batch) -> list[Hypothesis]:
            hypotheses = await super().transcribe(batch)
            text = "said" if batch.padded else "written by a broken fold"
            return [replace(h, text=text, folded=not batch.padded) for h in hypotheses]

    stop, sink, metrics = asyncio.Event(), RecordingSink(), Metrics()
    log = two_streams()
    polls = [*polls_of(log, len(log.records)), *[Poll()] * 200]
    await pipeline(ScriptedSource(polls, stop), Folding(), sink, 1.0, metrics).run(stop)
    texts = {e.text for e in sink.events if isinstance(e, TranscriptFinal)}
    assert texts == {"written by a broken fold"}
    checked = metrics.registry.get_sample_value("streamscribe_fold_disagreement_count")
    apart = metrics.registry.get_sample_value("streamscribe_fold_disagreement_sum")
    assert checked == 3
    assert apart is not None
    assert apart > 3 * 0.5
