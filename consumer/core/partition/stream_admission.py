"""Stream limits: how many streams a partition may have, and how fast new ones may arrive.

Only new streams are rejected, before their records are decoded; known ones continue. A record is
admitted once: N is committed with the state of every stream admitted below it, so a replay rejects
records of unknown streams. The rate of new streams is measured in append time, as of N, so a worker
that restarts repeatedly admits no more streams than one that does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from consumer.core.partition.ledger import Ledger
from consumer.core.partition.state import Arrivals
from consumer.core.partition.step import RejectedRecord
from consumer.core.streams.records import Record
from schemas.errors import Reason, WireError
from schemas.topics import valid_stream_id

AVERAGED_S: Final = 100.0  # of append time, over which the rate of new streams is averaged
LETTER_MS: Final = 1_000  # of append time between two dead letters of rejected records
REJECTION_REASONS: Final = frozenset({Reason.TOO_MANY_STREAMS, Reason.TOO_MANY_NEW_STREAMS})


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The limits of each partition."""

    streams: int  # open ones, and ended ones whose state is kept
    new_per_s: float  # averaged over AVERAGED_S


class StreamAdmission:
    """Admits or rejects the records of one partition that belong to no known stream."""

    def __init__(self, limits: StreamLimits, ledger: Ledger) -> None:
        self._limits = limits
        self._ledger = ledger

    def decide(self, record: Record, known: int) -> RejectedRecord | None:
        """Return why the record is rejected, given the number of `known` streams, or None.

        Changes nothing. The result is the same before and after the ledger has read the record.
        """
        ledger, is_replay = self._ledger, record.offset < self._ledger.restored_next
        if ledger.arrivals is None and is_replay:
            return None  # the version that committed N did not commit every stream
        if is_replay:
            return RejectedRecord(record, None)  # rejected before, or a dead letter
        if not valid_stream_id((record.key or b"").decode("latin-1")):
            return None  # decoding it fails, with the reason
        arrivals = ledger.arrivals or Arrivals()
        time_ms = max(ledger.time_ms, record.timestamp_ms)
        over = refusal(self._limits, known, arrivals, time_ms)
        if over is None:
            return None
        if sampled(arrivals, time_ms) is None:
            return RejectedRecord(record, None)
        return RejectedRecord(record, over.reason, str(over))

    def on_admitted(self, stream_id: str) -> None:
        """Note that the record just read begins a new stream."""
        ledger = self._ledger
        ledger.admit(stream_id)
        if ledger.arrivals is not None and not ledger.is_replay:
            ledger.arrivals = arrived(self._limits, ledger.arrivals, ledger.time_ms)

    def on_rejected(self, rejected: RejectedRecord) -> None:
        """Note that the record just read was rejected, perhaps with a dead letter."""
        ledger = self._ledger
        if rejected.reason in REJECTION_REASONS and ledger.arrivals is not None:
            ledger.arrivals = replace(ledger.arrivals, letter_ms=ledger.time_ms)


def refusal(limits: StreamLimits, known: int, arrivals: Arrivals, time_ms: int) -> WireError | None:
    """Return why no new stream is admitted, or None."""
    if known >= limits.streams:
        return WireError(
            Reason.TOO_MANY_STREAMS,
            f"the partition has {known} streams: begin fewer, or raise STREAMSCRIBE_MAX_STREAMS",
        )
    if _drained(limits, arrivals, time_ms).level + 1 > limits.new_per_s * AVERAGED_S:
        return WireError(
            Reason.TOO_MANY_NEW_STREAMS,
            f"more than {limits.new_per_s:g} streams a second began in the partition for "
            f"{AVERAGED_S:.0f} s: begin fewer, or raise STREAMSCRIBE_NEW_STREAMS_PER_S",
        )
    return None


def arrived(limits: StreamLimits, arrivals: Arrivals, time_ms: int) -> Arrivals:
    """Return the arrivals with one more stream."""
    drained = _drained(limits, arrivals, time_ms)
    return replace(drained, level=drained.level + 1)


def sampled(arrivals: Arrivals, time_ms: int) -> Arrivals | None:
    """Return the arrivals with one more dead letter, or None if the record is only counted.

    A dead letter for every rejected record would turn a flood of records into another one.
    """
    if arrivals.letter_ms is not None and time_ms < arrivals.letter_ms + LETTER_MS:
        return None
    return replace(arrivals, letter_ms=time_ms)


def _drained(limits: StreamLimits, arrivals: Arrivals, time_ms: int) -> Arrivals:
    """Return the leaky bucket (ITU-T I.371, annex A) at `time_ms`."""
    lost = limits.new_per_s * (time_ms - arrivals.time_ms) / 1000
    return replace(arrivals, level=max(0.0, arrivals.level - lost), time_ms=time_ms)
