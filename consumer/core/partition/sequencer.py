"""The sequencer: utterances of a session settle in order, whatever the order of their texts.

    closed -> (text) -> its turn: settled
                           '---> decoded again: it is in another language

The language of an utterance depends on those before it (`core.streams.language`). It is decoded
with the language held at that time, when those before it may still lack a text, as they may be in
the same batch. At its turn the held language is final; if that decides for another language, the
utterance is decoded again. So the language of a final depends on the audio before it alone, and a
replay from any cut decides the same. This delays no other final, as they are published in order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from consumer.core.partition.utterance_state import UtteranceRecord, UtteranceState
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.records import SessionKey


@dataclass(frozen=True, slots=True, eq=False)
class TurnResult:
    """The consequences of one more text for its session."""

    settled: tuple[UtteranceRecord, ...]  # those whose turn came, in order
    language: LanguageHold  # of the session after them
    first: UtteranceRecord | None  # the next in order
    redecode: UtteranceRecord | None  # the same, if it has to be decoded in another language


@dataclass(slots=True)
class _SessionOrder:
    language: LanguageHold
    waiting: deque[UtteranceRecord] = field(default_factory=deque)

    def settle(self) -> tuple[tuple[UtteranceRecord, ...], UtteranceRecord | None]:
        """Remove those whose turn came; also return the next if it has to be decoded again."""
        settled: list[UtteranceRecord] = []
        while self.waiting and self.waiting[0].state is UtteranceState.DECODED:
            record = self.waiting[0]
            text = record.decoded
            identified = None if text is None else text.hypothesis.identified
            if text is not None and identified is not None:
                differs = text.hypothesis.language != self.language.decide(identified)
                if differs and not record.was_redecoded:
                    return tuple(settled), record
                self.language = self.language.updated(identified)
            settled.append(self.waiting.popleft())
        return tuple(settled), None


class UtteranceSequencer:
    """The order of the utterances of all sessions of one partition."""

    def __init__(self) -> None:
        self._sessions: dict[SessionKey, _SessionOrder] = {}

    def expect(self, record: UtteranceRecord) -> None:
        """Add a closed utterance; those of a session are added in order."""
        assert record.pending is not None
        session = self._sessions.setdefault(
            record.id.session, _SessionOrder(record.pending.language)
        )
        session.waiting.append(record)

    def settle(self, key: SessionKey) -> TurnResult:
        """Settle all utterances that can be, after a new text of the session."""
        session = self._sessions[key]
        settled, redecode = session.settle()
        if redecode is not None:
            assert redecode.pending is not None
            redecode.pending = replace(redecode.pending, language=session.language)
        first = session.waiting[0] if session.waiting else None
        if first is None:
            del self._sessions[key]
        return TurnResult(settled, session.language, first, redecode)
