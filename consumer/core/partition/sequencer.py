"""The utterances of a session settle in their order, in whatever order their texts come.

    expect -> (text) -> tell -> in its turn: settled
                                       '---> decoded again: it is in another language

What language an utterance is in, those before it help to tell (`core.streams.language`). It is
decoded with what is known of them at that time, which need not be all: they may be in the same
batch. In its turn all is known; if that makes it another language, it is decoded again. So what
language a final is in depends on the audio before it alone, and a successor that goes on from any
cut decides alike. Nothing is published later for it: finals leave in order anyway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from consumer.core.streams.entries import PendingUtterance
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.records import SessionKey
from consumer.core.text.hypothesis import TimedHypothesis

Completion: TypeAlias = tuple[PendingUtterance, TimedHypothesis | None]  # None: there is no text


@dataclass(frozen=True, slots=True, eq=False)
class TurnResult:
    """What one more text brings."""

    settled: Sequence[Completion]  # in order
    language: LanguageHold  # the session's language behind them
    first: PendingUtterance | None  # whose turn it is now
    redecode: (
        PendingUtterance | None
    )  # the same, if it is to be decoded again, with what is held now


@dataclass(slots=True)
class _SessionOrder:
    """The utterances of one session that are not settled."""

    held: LanguageHold
    waiting: deque[PendingUtterance] = field(default_factory=deque)
    texts: dict[int, TimedHypothesis | None] = field(default_factory=dict)  # by utterance
    again: int | None = None  # the utterance that was decoded again: once is enough

    def settle(self) -> tuple[list[Completion], PendingUtterance | None]:
        """All that can be; and the one behind them, if its text does not stand."""
        settled: list[Completion] = []
        while self.waiting and (number := self.waiting[0].utterance.number) in self.texts:
            text = self.texts.pop(number)
            heard = None if text is None else text.hypothesis.identified
            if text is not None and heard is not None:
                if text.hypothesis.language != self.held.decide(heard) and self.again != number:
                    self.again = number
                    return settled, replace(self.waiting[0], language=self.held)
                self.held = self.held.updated(heard)
            settled.append((self.waiting.popleft(), text))
        return settled, None


class UtteranceSequencer:
    """Of all sessions of one partition."""

    def __init__(self) -> None:
        self._lines: dict[SessionKey, _SessionOrder] = {}

    def expect(self, heard: PendingUtterance) -> None:
        """An utterance has ended; those of a session come here in their order."""
        line = self._lines.setdefault(heard.id.session, _SessionOrder(heard.language))
        line.waiting.append(heard)

    def complete(self, heard: PendingUtterance, text: TimedHypothesis | None) -> TurnResult:
        """Its text has come; None: there will be none."""
        line = self._lines[heard.id.session]
        line.texts[heard.utterance.number] = text
        settled, again = line.settle()
        if not line.waiting:
            del self._lines[heard.id.session]
        return TurnResult(settled, line.held, line.waiting[0] if line.waiting else None, again)
