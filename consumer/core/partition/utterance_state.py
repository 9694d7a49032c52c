"""The states of an utterance, and the moves between them.

    -             --ONSET-->           OPEN
    OPEN          --INTERIM_*-->       OPEN
    - | OPEN      --CLOSED_*-->        QUARANTINED | DECODED | PENDING | QUEUED
    PENDING       --OFFSET_COMMITTED-> QUEUED
    QUARANTINED   --ATTEMPT_*-->       QUARANTINED, then QUEUED     --GIVEN_UP--> DECODED
    QUEUED        --TAKEN-->           DECODING
    QUEUED | DECODING --ACCEPTED-->    DECODED      --DOUBTED--> QUEUED      --FAILED--> DECODED
    DECODED       --MISSING_SPEECH | OTHER_LANGUAGE--> QUEUED
    DECODED       --TURN_CAME-->       SETTLED      --PUBLISHED--> COMMITTED

`utterances.py` owns the records and executes the effects of each move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from consumer.core.audio.utterance import Utterance
from consumer.core.partition.commit import EntryId
from consumer.core.partition.interim import Interim
from consumer.core.streams.entries import PendingUtterance
from consumer.core.streams.records import UtteranceId
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from consumer.core.text.missing_speech import MissingSpeech


class UtteranceState(Enum):
    OPEN = auto()  # not cut yet
    QUARANTINED = auto()  # its decode may have ended a worker: attempts are alone and counted
    PENDING = auto()  # waits for the commit of N after it
    QUEUED = auto()  # submitted to the engine
    DECODING = auto()  # taken by the engine
    DECODED = auto()  # has its text, or was given up; waits for its turn
    SETTLED = auto()  # its final or failure is in the ledger
    COMMITTED = auto()  # published; the record leaves the table


class UtteranceMove(Enum):
    ONSET = auto()  # speech began
    INTERIM_SUBMITTED = auto()
    INTERIM_DECODED = auto()
    CLOSED_SUSPECT = auto()  # cut; its decode may have ended an earlier worker
    CLOSED_KNOWN = auto()  # cut; an accepted interim text has the same samples
    CLOSED_UNCOMMITTED = auto()  # cut; the next owner would not suspect it yet
    CLOSED_READY = auto()  # cut; none of these
    OFFSET_COMMITTED = auto()  # N after its last record is committed
    ATTEMPT_RECORDED = auto()  # the next commit contains one more attempt
    ATTEMPT_COMMITTED = auto()  # this commit was made
    GIVEN_UP = auto()  # all attempts are used up
    TAKEN = auto()  # the engine has begun to decode it
    ACCEPTED = auto()  # a text was accepted, or is the best after the last fallback
    FAILED = auto()  # the model raised, for this utterance and no other
    DOUBTED = auto()  # a text was not accepted, and fallback steps remain
    MISSING_SPEECH = auto()  # the text leaves out speech: that stretch is decoded on its own
    OTHER_LANGUAGE = auto()  # at its turn, the held language decides for another one
    TURN_CAME = auto()  # all before it in the session are settled
    PUBLISHED = auto()  # the commit that publishes its entry was made


S, M = UtteranceState, UtteranceMove
TRANSITIONS: Final[Mapping[tuple[UtteranceState | None, UtteranceMove], UtteranceState]] = {
    (None, M.ONSET): S.OPEN,
    (S.OPEN, M.INTERIM_SUBMITTED): S.OPEN,
    (S.OPEN, M.INTERIM_DECODED): S.OPEN,
    **{
        (state, move): closed
        for state in (None, S.OPEN)
        for move, closed in (
            (M.CLOSED_SUSPECT, S.QUARANTINED),
            (M.CLOSED_KNOWN, S.DECODED),
            (M.CLOSED_UNCOMMITTED, S.PENDING),
            (M.CLOSED_READY, S.QUEUED),
        )
    },
    (S.PENDING, M.OFFSET_COMMITTED): S.QUEUED,
    (S.QUARANTINED, M.ATTEMPT_RECORDED): S.QUARANTINED,
    (S.QUARANTINED, M.ATTEMPT_COMMITTED): S.QUEUED,
    (S.QUARANTINED, M.GIVEN_UP): S.DECODED,
    (S.QUEUED, M.TAKEN): S.DECODING,
    (S.QUEUED, M.ACCEPTED): S.DECODED,
    (S.QUEUED, M.FAILED): S.DECODED,
    (S.QUEUED, M.DOUBTED): S.QUEUED,
    (S.DECODING, M.ACCEPTED): S.DECODED,
    (S.DECODING, M.FAILED): S.DECODED,
    (S.DECODING, M.DOUBTED): S.QUEUED,
    (S.DECODED, M.MISSING_SPEECH): S.QUEUED,
    (S.DECODED, M.OTHER_LANGUAGE): S.QUEUED,
    (S.DECODED, M.TURN_CAME): S.SETTLED,
    (S.SETTLED, M.PUBLISHED): S.COMMITTED,
}


class IllegalMove(ValueError):  # noqa: N818 - named by what was tried
    """The move is not allowed in the state of the utterance; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of an utterance that its text leaves out, decoded on its own."""

    text: TimedHypothesis  # the text that leaves it out
    missing: MissingSpeech
    utterance: Utterance  # the stretch


@dataclass(slots=True)
class UtteranceRecord:
    """The state of one utterance and its data."""

    id: UtteranceId
    state: UtteranceState | None = None
    interim: Interim | None = None  # None: no interim decodes, or a newer utterance has begun
    pending: PendingUtterance | None = None  # None while open
    entry: EntryId | None = None  # in the ledger; None while open
    closed_at: float = 0.0  # monotonic seconds
    requests: int = 0  # number of submitted finals; replies to older ones are ignored
    earlier: tuple[Hypothesis, ...] = ()  # texts that were not accepted
    excerpts: list[Excerpt] = field(default_factory=list)  # nested, the innermost last
    decoded: TimedHypothesis | None = None  # None: not yet, given up, or failed
    error: str | None = None  # class of the exception of the model, if it raised
    is_isolated: bool = False  # decoded alone in its batch
    was_redecoded: bool = False  # in another language, which happens once at most

    @property
    def is_awaited(self) -> bool:
        """Whether the engine has to return its text."""
        return self.state in {UtteranceState.QUEUED, UtteranceState.DECODING}

    def advance(self, move: UtteranceMove) -> None:
        """Change the state. Raises `IllegalMove`, and then changes nothing."""
        state = TRANSITIONS.get((self.state, move))
        if state is None:
            raise IllegalMove(
                f"{self.id}: {move.name} is not allowed in state {self.state and self.state.name}"
            )
        self.state = state
