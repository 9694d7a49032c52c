"""Overload in simulated time: the real pipeline between simulated shells.

Load 1 is what a worker sustains: the 95th percentile of finals is committed within a second of
the end of the hangover.
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
HANGING = Partition("speech.audio.v1", 1)
CHUNK_S = 0.2
PAUSE_S = 0.8
SHORTEST_S, LONGEST_S = 2.0, 8.0
MEAN_S = (SHORTEST_S + LONGEST_S) / 2
SUSTAINED = 0.5 * 8 * 4.0 / BASE_ON_TWO_CORES.of([4.0] * 8)  # seconds of speech a second
WITHIN_S = 1.5  # after the end of speech, with 0.5 s of hangover

OVERLOAD_S = 60.0
PAUSE_ABOVE_S = 300.0  # as in the simulation
RECOVERY_S = 180.0


@dataclass(frozen=True)
class Speaker:
    """One stream; with `pace` 0 all its audio is published at once."""

    name: str
    from_s: float
    until_s: float
    pace: float = 1.0

    def spans(self) -> list[tuple[float, float]]:
        """Return its utterances, in seconds of the stream."""
        rng, spans, at = random.Random(self.name), [], PAUSE_S
        steps = round(SHORTEST_S / CHUNK_S), round(LONGEST_S / CHUNK_S)
        while at + LONGEST_S + PAUSE_S <= self.until_s - self.from_s:
            end = at + rng.randint(*steps) * CHUNK_S
            spans.append((at, end))
            at = end + PAUSE_S
        return spans

    def at_s(self, position_s: float) -> float:
        """Return the simulated time at which the audio up to `position_s` is published."""
        return self.from_s + position_s * self.pace

    def records(self, partition: Partition) -> Iterator[Record]:
        spans = [(round(a / CHUNK_S), round(b / CHUNK_S)) for a, b in self.spans()]
        loud = np.full(round(CHUNK_S * RATE), 1000, np.int16).tobytes()
        spoken = {number for first, end in spans for number in range(first, end)}
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


def log(partition: Partition, *speakers: Speaker) -> list[Record]:
    """Return the records of the speakers in the order of their times."""
    return in_order(record for speaker in speakers for record in speaker.records(partition))


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


def speakers_of_load(load: float, until_s: float, name: str = "live") -> list[Speaker]:
    """Return speakers that make this load together, with staggered starts."""
    count = round(load * SUSTAINED * (MEAN_S + PAUSE_S) / MEAN_S)
    return [Speaker(f"{name}-{n}", 5.0 * n / count, until_s) for n in range(count)]


def finals_of(worker: Simulation, speaker: Speaker) -> list[tuple[float, TranscriptFinal]]:
    """Return its finals and their commit times; check that each is one utterance, in order."""
    finals = [(at, final) for at, final in worker.store.finals if final.stream_id == speaker.name]
    assert [final.utterance for _, final in finals] == list(range(len(speaker.spans())))
    for (start_s, end_s), (_, final) in zip(speaker.spans(), finals, strict=True):
        assert final.start_s <= start_s
        assert end_s <= final.end_s <= end_s + PAUSE_S
    return finals


def p95_s(worker: Simulation, speakers: list[Speaker]) -> float:
    """Return the 95th percentile of the time from the end of speech to the commit of its final."""
    waits = [
        at - speaker.at_s(end_s)
        for speaker in speakers
        for (_, end_s), (at, _) in zip(speaker.spans(), finals_of(worker, speaker), strict=True)
    ]
    return float(np.quantile(waits, 0.95))


def test_load_1_is_sustained() -> None:
    speakers = speakers_of_load(1.0, until_s=40.0)
    worker = simulated({PARTITION: log(PARTITION, *speakers)}, until_s=45.0)
    assert p95_s(worker, speakers) <= WITHIN_S


# --- load 3 for a minute, then load 0.5


@pytest.fixture(scope="module")
def all_speakers() -> list[Speaker]:
    until_s = OVERLOAD_S + RECOVERY_S
    return [*speakers_of_load(2.5, OVERLOAD_S, "more"), *speakers_of_load(0.5, until_s)]


@pytest.fixture(scope="module")
def overloaded(all_speakers: list[Speaker]) -> Simulation:
    return simulated({PARTITION: log(PARTITION, *all_speakers)}, OVERLOAD_S + RECOVERY_S + 10)


def test_no_final_is_lost_or_repeated(overloaded: Simulation, all_speakers: list[Speaker]) -> None:
    assert sum(len(finals_of(overloaded, speaker)) for speaker in all_speakers) == len(
        overloaded.store.finals
    )
    ended = [event for event in overloaded.store.events if isinstance(event, StreamEnded)]
    assert len(ended) == len(all_speakers)


def test_memory_is_bounded_by_the_pause_limit_one_poll_and_open_utterances(
    overloaded: Simulation, all_speakers: list[Speaker]
) -> None:
    assert max(overloaded.source.waiting_s) <= PAUSE_ABOVE_S
    open_s = len(all_speakers) * (LONGEST_S + PAUSE_S)
    poll_s = POLL_RECORDS * CHUNK_S
    assert max(overloaded.held_s) <= PAUSE_ABOVE_S + poll_s + open_s


def test_lag_grows_and_is_gone_three_minutes_after_the_overload(overloaded: Simulation) -> None:
    late = [at for at, lag_s in overloaded.lags if lag_s >= 1.0]
    assert max(lag_s for _, lag_s in overloaded.lags) > OVERLOAD_S / 2
    assert late[-1] < OVERLOAD_S + RECOVERY_S
    assert overloaded.lags[-1][0] > late[-1] + 60.0


def test_partials_stop_during_overload_and_resume_after_it(overloaded: Simulation) -> None:
    published_at = [
        at for at, e in overloaded.broadcast.published if isinstance(e, TranscriptPartial)
    ]
    assert not [at for at in published_at if OVERLOAD_S / 2 < at < OVERLOAD_S]
    assert max(published_at) > OVERLOAD_S + RECOVERY_S - LONGEST_S


# --- one source of load does not delay the others


def test_neither_a_file_nor_a_hot_stream_delays_the_finals_of_others() -> None:
    speakers = speakers_of_load(0.5, until_s=60.0)
    file, hot = Speaker("file", 10.0, 610.0, pace=0.0), Speaker("hot", 20.0, 260.0, pace=0.0)
    logs = {PARTITION: log(PARTITION, *speakers, hot), BULK: log(BULK, file)}
    worker = simulated(logs, until_s=70.0)
    assert p95_s(worker, speakers) <= WITHIN_S
    assert finals_of(worker, hot)
    assert finals_of(worker, file)


class HangingCodecs(InlineCodecs):
    """Codecs that time out on every container."""

    def read(self, record: Record) -> DecodedRecord | RejectedRecord | None:
        return None if record.partition == HANGING else super().read(record)

    async def decode(self, record: Record) -> DecodedRecord | RejectedRecord:
        await asyncio.sleep(CPU_LIMIT_S)
        return RejectedRecord(record, Reason.BAD_PAYLOAD, "the decoder could not cope")


def hanging(count: int) -> list[Record]:
    times = (START_MS + 10_000 + 20 * offset for offset in range(count))
    return [
        Record(HANGING, offset, time_ms, b"hostile", b"container", ())
        for offset, time_ms in enumerate(times)
    ]


def test_containers_that_hang_their_decoder_delay_no_other_partition() -> None:
    speakers = speakers_of_load(0.15, until_s=165.0)
    live = {PARTITION: log(PARTITION, *speakers)}
    quiet = simulated(live, until_s=170.0, codecs=HangingCodecs())
    attacked = simulated({**live, HANGING: hanging(50)}, until_s=170.0, codecs=HangingCodecs())
    assert len(attacked.store.dead_letters) == 50
    assert p95_s(attacked, speakers) == pytest.approx(p95_s(quiet, speakers), abs=0.05)
    gaps = np.diff(attacked.source.polled_at)
    assert max(gaps) < 1.0  # far below the time after which the group removes a member
