"""Interim decodes: open utterances decoded before they end.

    every 700 ms of new audio      -> a partial: stable and tentative text; more often at first
    non-speech for the post-roll   -> the candidate: without more speech, its text is the final's

They are requested often, and decoded when no final waits: one that is late is dropped. They are not
part of the committed state; the next owner starts without them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from consumer.core.audio.utterance import Utterance
from consumer.core.streams.entries import InterimDecode, OpenUtterance
from consumer.core.text.agreement import Agreement
from consumer.core.text.events import FinalPolicy, rendered
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from schemas.languages import bcp47
from schemas.transcript import TranscriptPartial, UtteranceStarted

_YOUNG_S: Final = 1.5  # an utterance is young up to this length, and until it has text
_SOONER: Final = 3  # times as many decodes while an utterance is young
_OUTSTANDING: Final = 2  # the newest request, and the one before it, which may be being decoded


@dataclass(frozen=True, slots=True)
class InterimPolicy:
    """When open utterances are decoded."""

    every_s: float  # new audio between two partials
    eager: bool  # whether to decode a candidate before the endpoint


@dataclass(slots=True)
class Interim:
    """The interim decodes of one utterance."""

    requested_end: int  # end of the newest request
    outstanding: tuple[InterimDecode, ...] = ()  # requests whose replies count, oldest first
    candidate: Utterance | None = None  # requested after the post-roll; perhaps the final
    candidate_text: TimedHypothesis | None = None
    agreement: Agreement = field(default_factory=Agreement)

    def is_due(self, opened: OpenUtterance, policy: InterimPolicy) -> bool:
        """Return whether to decode the utterance as it is now."""
        if opened.is_ending and policy.eager:
            return self.candidate is None or not is_same(self.candidate, opened)
        fresh_s = (opened.end - self.requested_end) / opened.rate
        return bool(opened.options.partials) and fresh_s >= self._every_s(opened, policy)

    def request(self, decode: InterimDecode, policy: InterimPolicy) -> bool:
        """Return whether to decode the utterance as it is now; if so, note the request."""
        if not self.is_due(decode.opened, policy):
            return False
        if decode.is_ending and policy.eager:
            self.candidate, self.candidate_text = decode.utterance, None
        self.requested_end = decode.utterance.end
        self.outstanding = (*self.outstanding, decode)[-_OUTSTANDING:]
        return True

    def answered(self, utterance: Utterance) -> InterimDecode | None:
        """Return the request of that audio; remove it and older ones from the outstanding."""
        for index, decode in enumerate(self.outstanding):
            if is_same(decode.utterance, utterance):
                self.outstanding = self.outstanding[index + 1 :]
                return decode
        return None

    def keep(self, decode: InterimDecode, text: TimedHypothesis) -> None:
        """Keep the text if it is the candidate's."""
        if self.candidate is not None and is_same(self.candidate, decode.utterance):
            self.candidate_text = text

    def text_of(self, utterance: Utterance) -> TimedHypothesis | None:
        """Return the candidate's text if it is of exactly that audio, else None."""
        if self.candidate is None or not is_same(self.candidate, utterance):
            return None
        return self.candidate_text

    def revise(self, decode: InterimDecode, text: Hypothesis) -> TranscriptPartial:
        """Return the partial after a new `partial_text`."""
        self.agreement = self.agreement.revise(
            text, uncut_s=decode.uncut_s, is_ending=decode.is_ending
        )
        return _partial(decode, self.agreement, text.language)

    def _every_s(self, opened: OpenUtterance, policy: InterimPolicy) -> float:
        is_young = opened.seconds < _YOUNG_S and not self.agreement.text
        return policy.every_s / (_SOONER if is_young else 1)


def is_same(one: Utterance, other: Utterance | OpenUtterance) -> bool:
    """Return whether two utterances of one session are the same audio."""
    return (one.start, one.end) == (other.start, other.end)


def started(decode: InterimDecode) -> UtteranceStarted:
    """Return the event for the onset of an utterance."""
    session = decode.id.session
    return UtteranceStarted(
        stream_id=session.stream_id,
        session_id=session.session_id,
        index=0,
        time_ms=decode.time_ms,
        utterance=decode.id.utterance,
        start_s=decode.utterance.start / decode.utterance.rate,
    )


def partial_text(
    decode: InterimDecode, hypothesis: Hypothesis, policy: FinalPolicy
) -> Hypothesis | None:
    """Return the text as a final would be published, or None if it would be suppressed."""
    assessment, text = rendered(hypothesis, decode.utterance, decode.options, policy)
    return None if assessment.is_suppressed or hypothesis.earlier else text


def _partial(decode: InterimDecode, agreement: Agreement, language: str) -> TranscriptPartial:
    session, utterance = decode.id.session, decode.utterance
    return TranscriptPartial(
        stream_id=session.stream_id,
        session_id=session.session_id,
        index=agreement.revision,
        time_ms=decode.time_ms,
        utterance=utterance.number,
        revision=agreement.revision,
        start_s=utterance.start / utterance.rate,
        end_s=utterance.end / utterance.rate,
        language=bcp47(language),
        stable_text=agreement.stable,
        tentative_text=agreement.tentative,
    )
