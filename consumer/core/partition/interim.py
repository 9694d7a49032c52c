"""Open utterances decoded before they end: for partials, and so that a final need not wait.

    open --every 700 ms--> decoded --> partial: stable and tentative text; of the first words
                                       sooner
         --200 ms quiet--> decoded --> kept: if no more speech comes, it is the final's text

Drafts are asked for often and served when the model has nothing better to do: what is late is
dropped, never a final delayed by it. Nothing here is written down: a successor drafts anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from consumer.core.audio.utterance import Utterance
from consumer.core.streams.entries import InterimDecode, PendingUtterance
from consumer.core.streams.records import UtteranceId
from consumer.core.text.agreement import Agreement
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from schemas.languages import bcp47
from schemas.transcript import TranscriptPartial, UtteranceStarted

_YOUNG_S: Final = 1.5  # up to here, and until there is text: half a second of speech often has none


_SOONER: Final = 3  # times as often


@dataclass(frozen=True, slots=True)
class InterimPolicy:
    """What is decoded before its time."""

    every_s: float  # of new audio between two partials
    eager: bool  # decode an utterance that seems to end before that is certain


@dataclass(slots=True)
class _Interim:
    """The newest utterance of one stream."""

    id: UtteranceId
    asked_end: int = 0  # last sample of what was asked for
    ending: Utterance | None = None  # asked for because it seemed to end
    text: TimedHypothesis | None = None  # of `ending`
    agreement: Agreement = field(default_factory=Agreement)


class InterimDecodes:
    """Of all sessions of one partition."""

    def __init__(self, policy: InterimPolicy) -> None:
        self._policy = policy
        self._lines: dict[str, _Interim] = {}  # by stream id

    def begin(self, draft: InterimDecode) -> UtteranceStarted | None:
        """The event of a new utterance, once, where it is wanted."""
        session = draft.id.session
        if self._line(draft.id) is not None:
            return None
        self._lines[session.stream_id] = _Interim(draft.id, draft.utterance.start)
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

    def wants(self, draft: InterimDecode) -> bool:
        """Whether it is worth decoding now; then it is taken to be asked for."""
        line, utterance = self._lines[draft.id.session.stream_id], draft.utterance
        if draft.is_ending and self._policy.eager:
            if line.ending is not None and is_same(line.ending, utterance):
                return False
            line.ending, line.text = utterance, None
            line.asked_end = utterance.end
            return True
        fresh_s = (utterance.end - line.asked_end) / utterance.rate
        if not draft.options.partials or fresh_s < self._every_s(line, utterance):
            return False
        line.asked_end = utterance.end
        return True

    def _every_s(self, line: _Interim, utterance: Utterance) -> float:
        is_young = utterance.seconds < _YOUNG_S and not line.agreement.text
        return self._policy.every_s / (_SOONER if is_young else 1)

    def decoded(
        self, draft: InterimDecode, text: TimedHypothesis, written: Hypothesis | None
    ) -> TranscriptPartial | None:
        """What a draft says; `written`: as it would be published, None for what would not be.

        None: nobody wants to know.
        """
        line = self._line(draft.id)
        if line is None:
            return None
        if line.ending is not None and is_same(line.ending, draft.utterance):
            line.text = text
        if written is None or not draft.options.partials:
            return None
        line.agreement = line.agreement.revise(
            written, uncut_s=draft.uncut_s, is_ending=draft.is_ending
        )
        return _partial(draft, line.agreement, written.language)

    def text(self, heard: PendingUtterance, now_ms: int) -> TimedHypothesis | None:
        """Of an utterance that has ended, if it is known already; or what was tried."""
        line = self._line(heard.id)
        if line is None or line.ending is None or line.text is None:
            return None
        if not is_same(line.ending, heard.utterance):
            return None
        return replace(line.text, queue_ms=0, done_ms=now_ms)

    def end(self, id_: UtteranceId) -> None:
        """The final of the utterance is told."""
        if self._line(id_) is not None:
            del self._lines[id_.session.stream_id]

    def forget(self, stream_id: str) -> None:
        """The stream is over; what it had begun to say last may have come to nothing."""
        self._lines.pop(stream_id, None)

    def _line(self, id_: UtteranceId) -> _Interim | None:
        line = self._lines.get(id_.session.stream_id)
        return None if line is None or line.id != id_ else line


def is_same(one: Utterance, other: Utterance) -> bool:
    """Whether they are the same audio, of the same session."""
    return (one.start, one.end) == (other.start, other.end)


def _partial(draft: InterimDecode, agreement: Agreement, language: str) -> TranscriptPartial:
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
