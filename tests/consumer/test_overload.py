"""More work than the machine can do, in simulated time: the real pipeline between simulated shells.

Load 1 is what a worker sustains: so much speech that 95 of 100 finals are out within a second of
when their ends can be known.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from builders import PARTITION, RATE, policy

from consumer.codecs.sandbox import CPU_LIMIT_S
from consumer.core.partition.interim import InterimPolicy
from consumer.core.partition.step import DecodedRecord, RejectedRecord
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane, Partition, Record
from consumer.interfaces import Codecs
from consumer.testing import InlineCodecs
from consumer.testing.simulation import (
    BASE_ON_TWO_CORES,
    POLL_RECORDS,
    START_MS,
    Fallbacks,
    SimulatedEngine,
    Simulation,
    in_order,
)
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import encode_audio
from schemas.errors import Reason
from schemas.transcript import StreamEnded, TranscriptFinal, TranscriptPartial

BULK = Partition("speech.audio.bulk.v1", 0)
HOSTILE = Partition("speech.audio.v1", 1)
CHUNK_S = 0.2
PAUSE_S = 0.8
SHORTEST_S, LONGEST_S = 2.0, 8.0
MEAN_S = (SHORTEST_S + LONGEST_S) / 2
SUSTAINED = 0.5 * 8 * 4.0 / BASE_ON_TWO_CORES.of([4.0] * 8)  # seconds of speech a second
WITHIN_S = 1.5  # of the end of speech: 0.5 s are waited for the end to be certain

OVERLOAD_S = 60.0
PAUSE_ABOVE_S = 300.0  # as the simulation sets it
RECOVERY_S = 180.0


@dataclass(frozen=True)
class Talker:
    """One stream; what it says is all there at once, when `pace` is 0."""

    name: str
    from_s: float
    until_s: float
    pace: float = 1.0

    def spans(self) -> list[tuple[float, float]]:
        """Its utterances, in seconds of the stream."""
        rng, spans, at = random.Random(self.name), [], PAUSE_S
        steps = round(SHORTEST_S / CHUNK_S), round(LONGEST_S / CHUNK_S)
        while at + LONGEST_S + PAUSE_S <= self.until_s - self.from_s:
            end = at + rng.randint(*steps) * CHUNK_S
            spans.append((at, end))
            at = end + PAUSE_S
        return spans

    def at_s(self, position_s: float) -> float:
        """When that second of it is there."""
        return self.from_s + position_s * self.pace

    def records(self, partition: Partition) -> Iterator[Record]:
        spans = [(round(a / CHUNK_S), round(b / CHUNK_S)) for a, b in self.spans()]
        loud = np.full(round(CHUNK_S * RATE), 1000, np.int16).tobytes()
        spoken = {number for first, behind in spans for number in range(first, behind)}
        count = spans[-1][1] + round(PAUSE_S / CHUNK_S)
        for seq in range(count):
            chunk = AudioChunk(
                self.name,
                loud if seq in spoken else bytes(len(loud)),
                rate=RATE,
                channels=1,
                seq=seq,
                end=seq == count - 1,
                options=StreamOptions(partials=True),
            )
            key, value, headers = encode_audio(chunk)
            time_ms = START_MS + round(self.at_s((seq + 1) * CHUNK_S) * 1000)
            yield Record(partition, 0, time_ms, key, value, tuple(headers))


def log(partition: Partition, *talkers: Talker) -> list[Record]:
    return in_order(record for talker in talkers for record in talker.records(partition))


def simulated(
    logs: Mapping[Partition, list[Record]], until_s: float, codecs: Codecs | None = None
) -> Simulation:
    """Run one worker over the logs."""
    simulation = Simulation(
        logs,
        {lane: policy(lane, InterimPolicy(every_s=0.7, eager=True)) for lane in Lane},
        until_s,
        Planner(BASE_ON_TWO_CORES.budget(rows=16)),
        SimulatedEngine(BASE_ON_TWO_CORES, Fallbacks()),
        codecs=codecs or InlineCodecs(),
    )
    simulation.run()
    return simulation


def crowd(load: float, until_s: float, name: str = "live") -> list[Talker]:
    """Streams that make so much load together; they do not begin together."""
    count = round(load * SUSTAINED * (MEAN_S + PAUSE_S) / MEAN_S)
    return [Talker(f"{name}-{n}", 5.0 * n / count, until_s) for n in range(count)]


def said(worker: Simulation, talker: Talker) -> list[tuple[float, TranscriptFinal]]:
    """Its finals and when they were committed; each holds one utterance, in their order."""
    finals = [(at, final) for at, final in worker.store.finals if final.stream_id == talker.name]
    assert [final.utterance for _, final in finals] == list(range(len(talker.spans())))
    for (start_s, end_s), (_, final) in zip(talker.spans(), finals, strict=True):
        assert final.start_s <= start_s
        assert end_s <= final.end_s <= end_s + PAUSE_S
    return finals


def p95_s(worker: Simulation, talkers: list[Talker]) -> float:
    """From the end of speech to the final's commit."""
    waits = [
        at - talker.at_s(end_s)
        for talker in talkers
        for (_, end_s), (at, _) in zip(talker.spans(), said(worker, talker), strict=True)
    ]
    return float(np.quantile(waits, 0.95))


def test_load_1_is_sustained() -> None:
    talkers = crowd(1.0, until_s=40.0)
    worker = simulated({PARTITION: log(PARTITION, *talkers)}, until_s=45.0)
    assert p95_s(worker, talkers) <= WITHIN_S


# --- three times as much for a minute, then half of it


@pytest.fixture(scope="module")
def all_talkers() -> list[Talker]:
    until_s = OVERLOAD_S + RECOVERY_S
    return [*crowd(2.5, OVERLOAD_S, "more"), *crowd(0.5, until_s)]


@pytest.fixture(scope="module")
def overloaded(all_talkers: list[Talker]) -> Simulation:
    return simulated({PARTITION: log(PARTITION, *all_talkers)}, OVERLOAD_S + RECOVERY_S + 10)


def test_no_final_is_lost_and_none_is_repeated(
    overloaded: Simulation, all_talkers: list[Talker]
) -> None:
    assert sum(len(said(overloaded, talker)) for talker in all_talkers) == len(
        overloaded.store.finals
    )
    ended = [event for event in overloaded.store.events if isinstance(event, StreamEnded)]
    assert len(ended) == len(all_talkers)


def test_memory_holds_what_may_wait_and_one_poll_beside_what_is_being_said(
    overloaded: Simulation, all_talkers: list[Talker]
) -> None:
    assert max(overloaded.source.waiting_s) <= PAUSE_ABOVE_S
    being_said = len(all_talkers) * (LONGEST_S + PAUSE_S)
    poll_s = POLL_RECORDS * CHUNK_S
    assert max(overloaded.held_s) <= PAUSE_ABOVE_S + poll_s + being_said


def test_lag_grows_and_is_back_within_three_minutes(overloaded: Simulation) -> None:
    late = [at for at, lag_s in overloaded.lags if lag_s >= 1.0]
    assert max(lag_s for _, lag_s in overloaded.lags) > OVERLOAD_S / 2
    assert late[-1] < OVERLOAD_S + RECOVERY_S
    assert overloaded.lags[-1][0] > late[-1] + 60.0


def test_partials_give_way_first_and_come_back(overloaded: Simulation) -> None:
    published_at = [
        at for at, e in overloaded.broadcast.published if isinstance(e, TranscriptPartial)
    ]
    assert not [at for at in published_at if OVERLOAD_S / 2 < at < OVERLOAD_S]
    assert max(published_at) > OVERLOAD_S + RECOVERY_S - LONGEST_S


# --- others


def test_neither_a_file_nor_a_hot_stream_delays_the_finals_of_others() -> None:
    talkers = crowd(0.5, until_s=60.0)
    file, hot = Talker("file", 10.0, 610.0, pace=0.0), Talker("hot", 20.0, 260.0, pace=0.0)
    logs = {PARTITION: log(PARTITION, *talkers, hot), BULK: log(BULK, file)}
    worker = simulated(logs, until_s=70.0)
    assert p95_s(worker, talkers) <= WITHIN_S
    assert said(worker, hot)
    assert said(worker, file)


class HangingCodecs(InlineCodecs):
    """Every container hangs its decoder, and is rejected when its time is up."""

    def read(self, record: Record) -> DecodedRecord | RejectedRecord | None:
        return None if record.partition == HOSTILE else super().read(record)

    async def decode(self, record: Record) -> DecodedRecord | RejectedRecord:
        await asyncio.sleep(CPU_LIMIT_S)
        return RejectedRecord(record, Reason.BAD_PAYLOAD, "the decoder could not cope")


def hanging(count: int) -> list[Record]:
    times = (START_MS + 10_000 + 20 * offset for offset in range(count))
    return [
        Record(HOSTILE, offset, time_ms, b"hostile", b"container", ())
        for offset, time_ms in enumerate(times)
    ]


def test_containers_that_hang_their_decoder_delay_no_other_partition() -> None:
    talkers = crowd(0.15, until_s=165.0)
    live = {PARTITION: log(PARTITION, *talkers)}
    quiet = simulated(live, until_s=170.0, codecs=HangingCodecs())
    hit = simulated({**live, HOSTILE: hanging(50)}, until_s=170.0, codecs=HangingCodecs())
    assert len(hit.store.dead_letters) == 50
    assert p95_s(hit, talkers) == pytest.approx(p95_s(quiet, talkers), abs=0.05)
    gaps = np.diff(hit.source.polled_at)
    assert max(gaps) < 1.0  # a member of the group that goes on polling is not thrown out
