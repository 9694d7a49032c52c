"""The utterances of a session settle in order, in whatever order their texts come.

    closed -> (text) -> its turn: settled
                           '---> decoded again: it is in another language

Which language an utterance is in, those before it help to tell (`core.streams.language`). It is
decoded with what is known of them at that time, which need not be all: they may be in the same
batch. When its turn comes all is known; if that makes it another language, it is decoded again.
So the language of a final depends on the audio before it alone, and a successor that goes on from
any cut decides alike. No final is published later for it: they leave in order anyway.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from consumer.core.partition.utterance_state import UtteranceRecord, UtteranceState
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.records import SessionKey


@dataclass(frozen=True, slots=True, eq=False)
class TurnResult:
    """What one more text brings to its session."""

    settled: tuple[UtteranceRecord, ...]  # whose turn has come, in order
    language: LanguageHold  # of the session after them
    first: UtteranceRecord | None  # whose turn is next
    redecode: UtteranceRecord | None  # the same, if it is in another language than it was decoded


@dataclass(slots=True)
class _SessionOrder:
    language: LanguageHold
    waiting: deque[UtteranceRecord] = field(default_factory=deque)

    def settle(self) -> tuple[tuple[UtteranceRecord, ...], UtteranceRecord | None]:
        """Take all whose turn has come; and name the next if it has to be decoded again."""
        settled: list[UtteranceRecord] = []
        while self.waiting and self.waiting[0].state is UtteranceState.DECODED:
            record = self.waiting[0]
            text = record.decoded
            heard = None if text is None else text.hypothesis.identified
            if text is not None and heard is not None:
                other = text.hypothesis.language != self.language.decide(heard)
                if other and not record.was_redecoded:
                    return tuple(settled), record
                self.language = self.language.updated(heard)
            settled.append(self.waiting.popleft())
        return tuple(settled), None


class UtteranceSequencer:
    """The order of the utterances of all sessions of one partition."""

    def __init__(self) -> None:
        self._sessions: dict[SessionKey, _SessionOrder] = {}

    def expect(self, record: UtteranceRecord) -> None:
        """Add a closed utterance; those of a session come here in their order."""
        assert record.pending is not None
        session = self._sessions.setdefault(
            record.id.session, _SessionOrder(record.pending.language)
        )
        session.waiting.append(record)

    def settle(self, key: SessionKey) -> TurnResult:
        """Settle what can be settled, after a text of the session has come."""
        session = self._sessions[key]
        settled, redecode = session.settle()
        if redecode is not None:
            assert redecode.pending is not None
            redecode.pending = replace(redecode.pending, language=session.language)
        first = session.waiting[0] if session.waiting else None
        if first is None:
            del self._sessions[key]
        return TurnResult(settled, session.language, first, redecode)
