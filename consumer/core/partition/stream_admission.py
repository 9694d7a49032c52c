"""How many streams a partition may have, and how fast they may come: the answer to floods.

Streams that are known go on whatever happens; it is new ones that are turned away. Nobody decides
that twice: with N the state of every stream that was let in below it is written down, so a replay
turns away whoever it does not know. How fast streams come is reckoned in append time, as of N, so a
worker that ends again and again lets no more in than one that goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from consumer.core.partition.commit import Outcome
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.state import Arrivals
from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.records import Record
from schemas.errors import Reason, WireError
from schemas.topics import valid_stream_id

AVERAGED_S: Final = 100.0  # of append time: so long may streams come at once that come in a rush


LETTER_MS: Final = 1_000  # of append time, between two dead letters of records turned away


REJECTION_REASONS: Final = frozenset({Reason.TOO_MANY_STREAMS, Reason.TOO_MANY_NEW_STREAMS})


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What holds for each partition."""

    streams: int  # that are open, or have ended and are remembered
    new_per_s: float  # averaged over AVERAGED_S


class StreamAdmission:
    """Of one partition."""

    def __init__(self, caps: StreamLimits, ledger: Ledger) -> None:
        self._caps = caps
        self._ledger = ledger

    def reject(self, record: Record, known: int) -> Outcome | None:
        """What becomes of a record of no known stream, where `known` streams are; None: let in."""
        ledger, arrivals = self._ledger, self._ledger.arrivals
        if arrivals is None:
            return None  # who wrote down how far it came did not tell of every stream
        if ledger.is_replay:
            return Outcome.REFUSED  # or it was a dead letter, which needs no stream either
        if not valid_stream_id((record.key or b"").decode("latin-1")):
            return None
        over = refusal(self._caps, known, arrivals, ledger.time_ms)
        if over is None:
            return None
        if (told := sampled(arrivals, ledger.time_ms)) is None:
            return Outcome.REFUSED
        ledger.arrivals = told
        ledger.dead_letter(DeadLetter(record, over.reason, str(over)))
        return Outcome.DEAD_LETTER

    def admit(self, stream_id: str) -> None:
        ledger = self._ledger
        ledger.admit(stream_id)
        if ledger.arrivals is not None and not ledger.is_replay:
            ledger.arrivals = arrived(self._caps, ledger.arrivals, ledger.time_ms)


def refusal(caps: StreamLimits, known: int, arrivals: Arrivals, time_ms: int) -> WireError | None:
    """Why no new stream is let in, where `known` streams are; None: it is."""
    if known >= caps.streams:
        return WireError(
            Reason.TOO_MANY_STREAMS,
            f"the partition has {known} streams: begin fewer, or raise STREAMSCRIBE_MAX_STREAMS",
        )
    if _drained(caps, arrivals, time_ms).level + 1 > caps.new_per_s * AVERAGED_S:
        return WireError(
            Reason.TOO_MANY_NEW_STREAMS,
            f"more than {caps.new_per_s:g} streams a second began in the partition for "
            f"{AVERAGED_S:.0f} s: begin fewer, or raise STREAMSCRIBE_NEW_STREAMS_PER_S",
        )
    return None


def arrived(caps: StreamLimits, arrivals: Arrivals, time_ms: int) -> Arrivals:
    """One more stream has been let in."""
    drained = _drained(caps, arrivals, time_ms)
    return replace(drained, level=drained.level + 1)


def sampled(arrivals: Arrivals, time_ms: int) -> Arrivals | None:
    """What holds once a record turned away is dead-lettered; None: it is counted alone.

    A letter for each would answer a flood by another one.
    """
    if arrivals.letter_ms is not None and time_ms < arrivals.letter_ms + LETTER_MS:
        return None
    return replace(arrivals, letter_ms=time_ms)


def _drained(caps: StreamLimits, arrivals: Arrivals, time_ms: int) -> Arrivals:
    """A leaky bucket (ITU-T I.371, annex A): what it lost since it was looked at last."""
    lost = caps.new_per_s * (time_ms - arrivals.time_ms) / 1000
    return replace(arrivals, level=max(0.0, arrivals.level - lost), time_ms=time_ms)
