"""One session of one stream: from its first record to its end, a rate change or a restart.

    append -> unscored -> (the detector, elsewhere) -> hear -> a cut -> an utterance, or silence

At every cut the detector starts afresh and hears the audio behind the cut again, so that a replay
from any cut cuts alike (docs/guarantees.md). Hence a cut is also where a session can be restored.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

from consumer.core.audio.segmenter import Cut, Segmenter, SegmenterConfig, UtteranceSpan
from consumer.core.audio.utterance import EndReason, Float32Array, Int16Array, Utterance
from consumer.core.partition.ledger import Ledger
from consumer.core.streams.entries import InterimDecode, PendingUtterance, ScoreRequest, VadState
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.records import SessionKey, UtteranceId
from consumer.core.streams.state import SessionState
from consumer.core.streams.timeline import AudioSegment, Timeline
from schemas.audio import StreamOptions
from schemas.languages import whisper_code
from schemas.transcript import (
    Event,
    Source,
    StreamEnded,
    StreamEndReason,
    StreamGap,
    StreamLoss,
    StreamStarted,
    StreamWarning,
)

EventT = TypeVar("EventT", bound=Event)


_LEAD_IN_MS = 1_000  # of speech that goes on over a cut: a detector needs about half of it


@dataclass(frozen=True, slots=True)
class SessionStart:
    """What the first record of a session settles."""

    key: SessionKey
    first: int  # index of the first sample
    wall_ms: float  # Unix time of the first sample
    rate: int  # Hz
    channels: int
    options: StreamOptions  # complete: no field is None but prompt and hotwords
    problems: tuple[str, ...]  # options that do not hold
    traceparent: str | None


class Session:
    """Audio in, cuts out; keeps the ledger's queue of its stream."""

    _timeline: Timeline  # audio since the last cut
    _segmenter: Segmenter
    _vad: VadState
    _scored: int  # sample up to which the detector was given audio

    def __init__(
        self,
        key: SessionKey,
        state: SessionState,
        config: SegmenterConfig,
        ledger: Ledger,
        read: int,
    ) -> None:
        """`state`: as of the cut to go on from; `read`: sample from which audio will come again."""
        self.key = key
        self.rate = state.rate
        self._state = state  # its counters move with every entry, its place with every cut
        self._config = replace(config, endpoint_ms=state.options.endpoint_ms or config.endpoint_ms)
        self._ledger = ledger
        timeline = Timeline(state.rate, state.cut, state.origin, read)
        self._score_from(timeline, in_speech=state.in_speech)

    @classmethod
    def start(cls, begin: SessionStart, config: SegmenterConfig, ledger: Ledger) -> Self:
        """A new session; says so."""
        state = SessionState(
            session_id=begin.key.session_id,
            rate=begin.rate,
            channels=begin.channels,
            options=begin.options,
            traceparent=begin.traceparent,
            cut=begin.first,
            in_speech=False,
            origin=(begin.first, begin.wall_ms),
            events=0,
            utterances=0,
            gaps=0,
            audio_samples=0,
            speech_samples=0,
        )
        session = cls(begin.key, state, config, ledger, begin.first)
        session._announce(begin.problems)
        return session

    @property
    def end(self) -> int:
        """Index of the first sample that has not come yet."""
        return self._timeline.end

    @property
    def in_speech(self) -> bool:
        return self._segmenter.open_since is not None

    @property
    def undecided(self) -> Sequence[AudioSegment]:
        """What holds the audio behind the cut."""
        return self._timeline.undecided

    @property
    def state(self) -> SessionState:
        """As of the last cut."""
        return replace(self._state, cut=self._timeline.start, origin=self._timeline.origin)

    def append(self, sound: AudioSegment) -> None:
        self._timeline.append(sound)

    def score_request(self) -> ScoreRequest | None:
        """Audio that the detector has not been given since the last cut; None: there is none."""
        if self._scored >= self.end:
            return None
        samples = self._timeline.samples(self._scored, self.end)
        self._scored = self.end
        return ScoreRequest(self.key, self._vad, self.rate, samples)

    def on_scores(self, probabilities: Float32Array) -> PendingUtterance | None:
        """The detector's answer to what `unscored` gave; may make one cut, and an utterance."""
        cut = self._segmenter.push(probabilities)
        return None if cut is None else self._apply(cut)

    def close_utterance(self, reason: EndReason) -> PendingUtterance | None:
        """No more audio belongs to the open utterance; all that came must have been scored."""
        undecided = max(0, self.end - self._timeline.start)
        return self._apply(self._segmenter.close(undecided, reason))

    def interim(self) -> InterimDecode | None:
        """The open utterance so far; None: none is open, or too little of it."""
        span = self._segmenter.open_span()
        if span is None or self._timeline.end <= self._timeline.start:
            return None
        utterance = self._utterance(span)
        quiet = utterance.end - utterance.speech_end
        return InterimDecode(
            id=UtteranceId(self.key, utterance.number),
            utterance=utterance,
            options=self._state.options,
            is_ending=quiet >= self._config.post_roll_ms * self.rate // 1000,
            time_ms=self._timeline.time_ms(utterance.end - 1),
            first_offset=self._timeline.offsets(utterance.start, utterance.start + 1)[0],
            uncut_s=self._config.uncut_ms / 1000,
            language=self._state.language,
        )

    def set_language(self, held: LanguageHold) -> None:
        """What its language is held to be, after one more text."""
        self._state = replace(self._state, language=held)

    def insert_gap(self, to: int, wall_ms: float, *, estimated: bool) -> None:
        """Audio up to sample `to` is missing; the open utterance must have been closed."""
        self._note(
            StreamGap,
            self.end,
            start_sample=self.end,
            end_sample=to,
            rate=self.rate,
            estimated=estimated,
        )
        self._state = replace(self._state, gaps=self._state.gaps + 1)
        self._score_from(Timeline(self.rate, to, (to, wall_ms)))

    def report_loss(self, first_offset: int, last_offset: int) -> None:
        """These records will never be read; the open utterance must have been closed."""
        self._note(StreamLoss, self.end, first_offset=first_offset, last_offset=last_offset)

    def finish(self, reason: StreamEndReason) -> None:
        """The session is over; the open utterance must have been closed."""
        self._note(
            StreamEnded,
            self.end,
            reason=reason,
            utterances=self._state.utterances,
            audio_s=self._state.audio_samples / self.rate,
            speech_s=self._state.speech_samples / self.rate,
            gaps=self._state.gaps,
        )

    def _announce(self, problems: Sequence[str]) -> None:
        self._note(
            StreamStarted,
            self.end,
            rate=self.rate,
            channels=self._state.channels,
            languages=self._state.options.languages or (),
        )
        for problem in problems:
            self._note(StreamWarning, self.end, message=problem)

    def _apply(self, cut: Cut) -> PendingUtterance | None:
        heard = None if cut.span is None else self._close(cut.span)
        audio = self._state.audio_samples + cut.at
        self._state = replace(self._state, in_speech=cut.in_speech, audio_samples=audio)
        at = self._timeline.start + cut.at
        before = self._lead_in(at) if cut.in_speech else None
        self._timeline.trim(at)
        self._score_from(self._timeline, in_speech=cut.in_speech, before=before)
        return heard

    def _lead_in(self, cut: int) -> Int16Array:
        """What a detector has to hear first to know that the audio at the cut is speech."""
        start = cut - _LEAD_IN_MS * self.rate // 1000
        return self._timeline.samples(max(self._timeline.start, start), cut)

    def _score_from(
        self, timeline: Timeline, *, in_speech: bool = False, before: Int16Array | None = None
    ) -> None:
        self._timeline = timeline
        self._segmenter = Segmenter(self._config, self.rate, in_speech=in_speech)
        self._scored = timeline.start
        self._vad = VadState(before)

    def _close(self, span: UtteranceSpan) -> PendingUtterance:
        utterance, timeline, state = self._utterance(span), self._timeline, self._state
        heard = PendingUtterance(
            id=UtteranceId(self.key, utterance.number),
            entry=self._ledger.append_pending(self.key.stream_id, self._decided_ms()),
            utterance=utterance,
            options=state.options,
            index=state.events,
            started_at_ms=timeline.time_ms(utterance.start),
            # Not of the sample behind it: the next record has a clock of its own, if it has come.
            speech_end_ms=timeline.time_ms(utterance.speech_end - 1),
            ended_at_ms=timeline.time_ms(utterance.end - 1),
            source=Source(*self.key.partition, *timeline.offsets(utterance.start, utterance.end)),
            traceparent=state.traceparent,
            attempts=state.attempts,
            language=state.language,
        )
        speech = state.speech_samples + utterance.end - utterance.start
        self._state = replace(
            state,
            events=state.events + 1,
            utterances=state.utterances + 1,
            speech_samples=speech,
            attempts=0,
        )
        return heard

    def _decided_ms(self) -> int:
        """Append time of the newest audio that was needed for the cut."""
        return self._timeline.appended_ms(self._timeline.start + self._segmenter.scored - 1)

    def _utterance(self, span: UtteranceSpan) -> Utterance:
        start, end = self._timeline.start + span.start, self._timeline.start + span.end
        return Utterance(
            number=self._state.utterances,
            start=start,
            end=end,
            speech_end=self._timeline.start + span.speech_end,
            rate=self.rate,
            samples=self._timeline.samples(start, end),
            end_reason=span.reason,
            speech=span.speech,
        )

    def _note(self, kind: type[EventT], sample: int, **fields: Any) -> None:
        event = kind(
            stream_id=self.key.stream_id,
            session_id=self.key.session_id,
            index=self._state.events,
            time_ms=self._timeline.time_ms(sample),
            traceparent=self._state.traceparent,
            **fields,
        )
        self._ledger.append(self.key.stream_id, event)  # type: ignore[arg-type]
        self._state = replace(self._state, events=self._state.events + 1)


def servable(asked: StreamOptions, known: Collection[str]) -> tuple[StreamOptions, tuple[str, ...]]:
    """What the model can do of it, and a line on what it cannot; `known`: Whisper codes."""
    languages = asked.languages or ()
    lacking = [tag for tag in languages if whisper_code(tag) not in known]
    if not lacking:
        return asked, ()
    left = tuple(tag for tag in languages if tag not in lacking)
    holds = f"{', '.join(left)} holds" if left else "the default holds"
    problem = f"language: this worker's model does not know {', '.join(lacking)}; {holds}"
    return replace(asked, languages=left or None), (problem,)


def complete(asked: StreamOptions, defaults: StreamOptions) -> StreamOptions:
    """What was asked for, and the defaults where nothing was."""
    given = {f.name: value for f in fields(asked) if (value := getattr(asked, f.name)) is not None}
    return replace(defaults, **given)
