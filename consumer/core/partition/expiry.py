"""Expiry: open utterances, sessions and stream states that end after a time without records.

It is checked in sweeps, because a partition may have thousands of streams. While no record waits in
Kafka, append time advances with the local monotonic clock, as the brokers' clock is not available.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from consumer.core.partition.ledger import Ledger
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.streams.stream import Stream

REMEMBERED_MS: Final = 3_600_000  # that an ended stream is kept to recognise its repeats
CROWDED_MS: Final = 120_000  # likewise near the limit of streams: the publishers' retry timeout
BEHIND_MS: Final = 60_000  # age at which undecided audio is decided, so that R advances
SWEEP_S: Final = 0.2  # between two sweeps, and the same again for every SWEPT streams
SWEPT: Final = 2_500


@dataclass(slots=True)
class Expired:
    """The result of one sweep."""

    stalled: list[Stream]  # their open utterance ends
    idle: list[Stream]  # their session ends
    forgotten: list[Stream]  # their state is deleted


class Expiry:
    """The expiry of one partition. `now` is monotonic seconds."""

    def __init__(self, policy: PartitionPolicy, ledger: Ledger) -> None:
        self._policy = policy
        self._ledger = ledger
        self._read_at: float | None = None  # time of the newest record, or of the first sweep
        self._swept_at = 0.0
        self._last_s: dict[str, float] = {}  # time of each stream's newest record

    def on_read(self, now: float) -> None:
        """Note that a record was read."""
        self._read_at = now

    def on_record(self, stream_id: str, now: float) -> None:
        """Note that a record of the stream was read."""
        self._last_s[stream_id] = now

    def forget(self, stream_id: str) -> None:
        self._last_s.pop(stream_id, None)

    def sweep(
        self, streams: Mapping[str, Stream], now: float, *, caught_up: bool
    ) -> Expired | None:
        """Check every stream, or return None if no sweep is due.

        `caught_up`: no record waits in Kafka.
        """
        self._read_at = now if self._read_at is None else self._read_at
        pause_s = SWEEP_S * (1 + len(streams) / SWEPT)
        ledger = self._ledger
        if now - self._swept_at < pause_s or ledger.position < ledger.restored_next:
            return None
        self._swept_at = now
        time_ms = ledger.time_ms + ((now - self._read_at) * 1000 if caught_up else 0.0)
        found = Expired([], [], [])
        crowded = len(streams) > self._policy.limits.streams // 2
        for stream in streams.values():
            if stream.is_over:
                if self._is_forgotten(stream, time_ms, crowded=crowded):
                    found.forgotten.append(stream)
            elif stream.last_ms < time_ms - self._policy.idle_s * 1000:
                found.idle.append(stream)
            elif self._is_stalled(stream, now, time_ms, caught_up=caught_up):
                found.stalled.append(stream)
        return found

    def _is_forgotten(self, stream: Stream, time_ms: float, *, crowded: bool) -> bool:
        """Return whether all of it is published, and no replay or repeat is expected."""
        remembered_ms = CROWDED_MS if crowded else REMEMBERED_MS
        return (
            not self._ledger.waits(stream.stream_id)
            and stream.last_ms < time_ms - remembered_ms
            and stream.is_forgotten_at(self._ledger.committed.resume_offset)
        )

    def _is_stalled(self, stream: Stream, now: float, time_ms: float, *, caught_up: bool) -> bool:
        """Return whether undecided audio has to be decided without waiting for more records."""
        name = stream.stream_id
        idle_s = now - self._last_s.get(name, now)
        policy = self._policy
        stall_s = policy.stall_in_speech_s if stream.is_interrupted else policy.stall_s
        if caught_up and stream.waits and idle_s > stall_s:
            return True
        since_ms = stream.undecided_since_ms
        is_behind = since_ms is not None and since_ms < time_ms - BEHIND_MS
        return is_behind and not self._ledger.waits(name)
