"""Open utterances decoded before they end: for partials, and so that a final need not wait.

    open --every 700 ms--> decoded --> partial: stable and tentative text; until there is any,
                                       three times as often
         --200 ms quiet--> decoded --> kept: if no more speech comes, it is the final's text

Drafts are asked for often and served when the model has nothing better to do: what is late is
dropped, never a final delayed by it. Nothing here is written down: a successor drafts anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from consumer.core.agreement import Agreement
from consumer.core.events import Decoded
from consumer.core.session import Draft, Heard
from consumer.core.values import Hypothesis, SessionKey, Utterance
from schemas.languages import bcp47
from schemas.transcript import TranscriptPartial, UtteranceStarted

_SOONER: Final = 3  # times as often until there is text: half a second of speech often has none


@dataclass(frozen=True, slots=True)
class DraftPolicy:
    """What is decoded before its time."""

    every_s: float  # of new audio between two partials
    eager: bool  # decode an utterance that seems to end before that is certain


@dataclass(slots=True)
class _Line:
    """The open utterance of one session."""

    number: int
    asked_end: int = 0  # last sample of what was asked for
    ending: Utterance | None = None  # asked for because it seemed to end
    text: Decoded | None = None  # of `ending`
    agreement: Agreement = field(default_factory=Agreement)


class Drafts:
    """Of all sessions of one partition."""

    def __init__(self, policy: DraftPolicy) -> None:
        self._policy = policy
        self._lines: dict[SessionKey, _Line] = {}

    def begin(self, draft: Draft) -> UtteranceStarted | None:
        """The event of a new utterance, once, where it is wanted."""
        session = draft.id.session
        line = self._lines.get(session)
        if line is not None and line.number == draft.id.utterance:
            return None
        self._lines[session] = _Line(draft.id.utterance, draft.utterance.start)
        if not draft.options.partials:
            return None
        return UtteranceStarted(
            stream_id=session.stream_id,
            session_id=session.session_id,
            index=0,
            time_ms=draft.time_ms,
            utterance=draft.id.utterance,
            start_s=draft.utterance.start / draft.utterance.rate,
        )

    def wants(self, draft: Draft) -> bool:
        """Whether it is worth decoding now; then it is taken to be asked for."""
        line, utterance = self._lines[draft.id.session], draft.utterance
        if draft.is_ending and self._policy.eager:
            if line.ending is not None and is_same(line.ending, utterance):
                return False
            line.ending, line.text = utterance, None
            line.asked_end = utterance.end
            return True
        fresh_s = (utterance.end - line.asked_end) / utterance.rate
        every_s = self._policy.every_s / (1 if line.agreement.text else _SOONER)
        if not draft.options.partials or fresh_s < every_s:
            return False
        line.asked_end = utterance.end
        return True

    def decoded(
        self, draft: Draft, text: Decoded, written: Hypothesis | None
    ) -> TranscriptPartial | None:
        """What a draft says; `written`: as it would be published, None for what would not be.

        None: nobody wants to know.
        """
        line = self._lines.get(draft.id.session)
        if line is None or line.number != draft.id.utterance:
            return None
        if line.ending is not None and is_same(line.ending, draft.utterance):
            line.text = text
        if written is None or not draft.options.partials:
            return None
        line.agreement = line.agreement.revise(written, draft.uncut_s)
        return _partial(draft, line.agreement, written.language)

    def take(self, heard: Heard, now_ms: int) -> Decoded | None:
        """The utterance has ended: its text, if that is known already, or what was tried."""
        line = self._lines.pop(heard.id.session, None)
        if line is None or line.ending is None or line.text is None:
            return None
        if line.number != heard.id.utterance or not is_same(line.ending, heard.utterance):
            return None
        return replace(line.text, queue_ms=0, done_ms=now_ms)


def is_same(one: Utterance, other: Utterance) -> bool:
    """Whether they are the same audio, of the same session."""
    return (one.start, one.end) == (other.start, other.end)


def _partial(draft: Draft, agreement: Agreement, language: str) -> TranscriptPartial:
    session, utterance = draft.id.session, draft.utterance
    return TranscriptPartial(
        stream_id=session.stream_id,
        session_id=session.session_id,
        index=agreement.revision,
        time_ms=draft.time_ms,
        utterance=utterance.number,
        revision=agreement.revision,
        start_s=utterance.start / utterance.rate,
        end_s=utterance.end / utterance.rate,
        language=bcp47(language),
        stable_text=agreement.stable,
        tentative_text=agreement.tentative,
    )
