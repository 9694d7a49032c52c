"""A simulated worker that decodes utterances in the order of a planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from bench.scheduling.workload import SimulatedUtterance
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.partition.interim import InterimPolicy
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.stream_admission import StreamLimits
from consumer.core.scheduling.capacity import Budget, positions
from consumer.core.scheduling.jobs import Batch, Job
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane, Partition, Record
from consumer.core.streams.stream import StreamPolicy
from consumer.core.text.events import FinalPolicy
from consumer.testing.simulation import (
    BASE_ON_TWO_CORES,
    START_MS,
    Fallbacks,
    SimulatedEngine,
    Simulation,
    in_order,
)
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import encode_audio
from schemas.transcript import Model

LATE_S: Final = 2.0
_RATE: Final = 8_000
_WINDOW_MS: Final = 128  # of the detector: coarse, as nothing here depends on it
_SEGMENTER: Final = SegmenterConfig(
    window_ms=_WINDOW_MS, onset_windows=(1, 1), max_utterance_ms=30_000
)
# What the segmenter adds to the sound: pre-roll, post-roll, and half a window at each end.
_PADDING_S: Final = (_SEGMENTER.pre_roll_ms + _SEGMENTER.post_roll_ms + _WINDOW_MS) / 1000
_LEADING_S: Final = 0.4  # of silence: room for the pre-roll
_TRAILING_S: Final = 0.9  # of silence, so that the endpoint is in the same record
_NEVER_S: Final = 1e9


class FirstCome(Planner):
    """In order of arrival, as many as fit into a batch: what the planner is compared with.

    It drops no job: nothing is cancelled or revoked here.
    """

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._limits = budget
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, jobs: Iterable[Job]) -> None:
        self._jobs.extend(jobs)

    def take(self, now: float) -> Batch | None:  # noqa: ARG002 - the planner's signature
        rows = longest = 0
        for job in self._jobs:
            longest = max(longest, positions(job.utterance.seconds))
            fits = (rows + 1) * longest <= self._limits.positions and rows < self._limits.rows
            if rows and not fits:
                break
            rows += 1
        taken, self._jobs = self._jobs[:rows], self._jobs[rows:]
        return Batch(tuple(taken)) if taken else None


@dataclass(frozen=True, slots=True)
class Waits:
    """The results of one run."""

    finals: Sequence[
        tuple[SimulatedUtterance, float, bool]
    ]  # its wait in s, whether it needs all attempts
    rtfx: float  # seconds of audio by seconds in which the engine was busy
    rows: float  # of a batch

    def quantile_s(self, quantile: float, *, repeated: bool | None = None) -> float:
        """Return a quantile over the finals of `live-` streams."""
        waits = [
            wait_s
            for utterance, wait_s, is_repeated in self.finals
            if utterance.stream.startswith("live") and repeated in {None, is_repeated}
        ]
        return float(np.quantile(waits, quantile))

    def last_late_s(self) -> float:
        """Return the end of the last utterance that waited longer than LATE_S, or 0."""
        late = (utterance.end_s for utterance, wait_s, _ in self.finals if wait_s > LATE_S)
        return max(late, default=0.0)


def simulate(
    utterances: Iterable[SimulatedUtterance],
    planner: Planner,
    until_s: float,
    fallbacks: Fallbacks = Fallbacks(),  # noqa: B008 - frozen
) -> Waits:
    """Run a worker over the utterances until `until_s`; what waits then has waited until then."""
    by_stream: dict[str, list[SimulatedUtterance]] = {}
    for utterance in sorted(utterances, key=lambda each: each.end_s):
        by_stream.setdefault(utterance.stream, []).append(utterance)
    engine = SimulatedEngine(BASE_ON_TWO_CORES, fallbacks, _WINDOW_MS)
    simulation = Simulation(
        logs=_logs(by_stream),
        policies={lane: _policy(lane) for lane in Lane},
        until_s=until_s,
        planner=planner,
        engine=engine,
        pause_above_s=dict.fromkeys(Lane, _NEVER_S),  # it is the planner that is measured
        drains=False,
    )
    simulation.run()
    jobs = [job for batch in engine.batches for job in batch]
    committed = {(final.stream_id, final.utterance): at for at, final in simulation.store.finals}
    repeated = {
        (job.id.session.stream_id, job.id.utterance) for job in jobs if fallbacks.affects(job)
    }
    finals = [
        (each, min(until_s, committed.get(key, until_s)) - each.end_s, key in repeated)
        for name, spoken in by_stream.items()
        for number, each in enumerate(spoken)
        for key in [(name, number)]
    ]
    audio_s = sum(job.utterance.seconds for job in jobs)
    return Waits(finals, audio_s / engine.busy_s, len(jobs) / len(engine.batches))


def _logs(by_stream: Mapping[str, Sequence[SimulatedUtterance]]) -> dict[Partition, list[Record]]:
    """Return one partition for each lane, with a record for each utterance."""
    partitions = {Lane.LIVE: Partition("live", 0), Lane.BULK: Partition("bulk", 0)}
    return {
        partition: in_order(
            _record(partition, utterance, seq)
            for spoken in by_stream.values()
            for seq, utterance in enumerate(spoken)
            if utterance.lane is lane
        )
        for lane, partition in partitions.items()
    }


def _record(partition: Partition, utterance: SimulatedUtterance, seq: int) -> Record:
    chunk = AudioChunk(
        utterance.stream, _payload(utterance.seconds), rate=_RATE, channels=1, seq=seq
    )
    key, value, headers = encode_audio(chunk)
    appended_ms = START_MS + round(utterance.end_s * 1000)
    return Record(partition, 0, appended_ms, key, value, tuple(headers))


@cache
def _payload(seconds: float) -> bytes:
    """Return sound of which the segmenter makes an utterance of that length, and silence."""
    sound_s = max(_SEGMENTER.min_speech_ms / 1000, seconds - _PADDING_S)
    sound = np.full(round(sound_s * _RATE), 1000, np.int16)
    before, after = (bytes(2 * round(seconds * _RATE)) for seconds in (_LEADING_S, _TRAILING_S))
    return before + sound.tobytes() + after


def _policy(lane: Lane) -> PartitionPolicy:
    options = StreamOptions(languages=("en",), words=False, partials=False, endpoint_ms=500)
    return PartitionPolicy(
        lane=lane,
        from_earliest=True,
        stream=StreamPolicy(_SEGMENTER, options, frozenset({"en"}), ""),
        split_channels=False,
        model=Model("simulated", "0" * 64, "float32", fold=True),
        finals=FinalPolicy(),
        interim=InterimPolicy(every_s=_NEVER_S, eager=False),
        final_within_s=0.5,
        limits=StreamLimits(100_000, 10_000.0),
        stall_s=_NEVER_S,
        stall_in_speech_s=_NEVER_S,
        idle_s=_NEVER_S,
    )
