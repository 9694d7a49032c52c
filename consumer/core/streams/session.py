"""One session of one stream: from its first record to its end, a rate change or a restart.

    append -> score_request -> (the detector, elsewhere) -> on_scores -> Cut -> apply -> utterance

At every cut the detector starts anew and scores the audio after the cut again, so that a replay
from any cut makes the same cuts (docs/guarantees.md). A session is restored as of a cut.

A session does not write to the ledger: its methods return events and utterances in media order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar

from consumer.core.audio.loudness import level_db
from consumer.core.audio.segmenter import Cut, OpenExtent, Segmenter, SegmenterConfig, UtteranceSpan
from consumer.core.audio.utterance import EndReason, Float32Array, Int16Array, Utterance
from consumer.core.streams.entries import (
    InterimDecode,
    OpenUtterance,
    PendingUtterance,
    ScoreRequest,
    VadState,
)
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.records import SessionKey, UtteranceId
from consumer.core.streams.state import SessionState
from consumer.core.streams.timeline import AudioSegment, Timeline
from schemas.audio import StreamOptions
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

MAX_SCORED_S: Final = 2.0  # of audio in one score request
NO_SPEECH: Final = "no_speech_heard"  # kind of the warning
NO_SPEECH_S: Final = 30.0  # of sound without an utterance, after which a session is warned once
_SOUND_DB: Final = -55.0  # dB of full scale: line noise is below, music and far speech above
_LEAD_IN_MS: Final = 1_000  # before a cut that split an utterance; detectors need half of it


@dataclass(frozen=True, slots=True)
class SessionStart:
    """The properties of a session that its first record determines."""

    key: SessionKey
    first: int  # index of the first sample
    wall_ms: float  # Unix time of the first sample
    rate: int  # Hz
    channels: int
    options: StreamOptions  # complete: no field is None but prompt and hotwords
    problems: tuple[str, ...]  # options and other headers that do not apply, a line each
    traceparent: str | None


class Session:
    """Audio in, cuts out."""

    _timeline: Timeline  # audio since the last cut
    _segmenter: Segmenter
    _vad: VadState
    _scored: int  # sample up to which the detector was given audio

    def __init__(
        self, key: SessionKey, state: SessionState, config: SegmenterConfig, read: int
    ) -> None:
        """`state`: as of the cut to resume from; `read`: the first sample that will be appended."""
        self.key = key
        self.rate = state.rate
        self._state = state  # counters change with every entry, the rest at cuts
        self._config = replace(config, endpoint_ms=state.options.endpoint_ms or config.endpoint_ms)
        timeline = Timeline(state.rate, state.cut, state.origin, read)
        self._score_from(timeline, in_speech=state.in_speech)

    @classmethod
    def start(cls, start: SessionStart, config: SegmenterConfig) -> Self:
        """Return a new session; `announce` gives its first events."""
        state = SessionState(
            session_id=start.key.session_id,
            rate=start.rate,
            channels=start.channels,
            options=start.options,
            traceparent=start.traceparent,
            cut=start.first,
            in_speech=False,
            origin=(start.first, start.wall_ms),
            events=0,
            utterances=0,
            gaps=0,
            audio_samples=0,
            speech_samples=0,
        )
        return cls(start.key, state, config, start.first)

    @property
    def is_speaking(self) -> bool:
        """Whether an utterance is open, and its speech has not paused for the post-roll.

        Speech that is still as short as a click may be the beginning of a word.
        """
        extent = self._segmenter.open_extent()
        return self.in_speech and (extent is None or not self._is_pausing(extent))

    @property
    def end(self) -> int:
        """Index of the sample after the last one received."""
        return self._timeline.end

    @property
    def in_speech(self) -> bool:
        return self._segmenter.open_since is not None

    @property
    def undecided(self) -> Sequence[AudioSegment]:
        """Segments that hold the audio after the cut."""
        return self._timeline.undecided

    @property
    def state(self) -> SessionState:
        """State as of the last cut."""
        return replace(self._state, cut=self._timeline.start, origin=self._timeline.origin)

    @property
    def decided_ms(self) -> int:
        """Append time of the newest scored audio."""
        return self._timeline.appended_ms(self._timeline.start + self._segmenter.scored - 1)

    def append(self, segment: AudioSegment) -> None:
        self._timeline.append(segment)

    def score_request(self) -> ScoreRequest | None:
        """Return the next audio since the last cut that is not scored yet, or None.

        It has MAX_SCORED_S at most. Scores of audio after the next cut are discarded, so without
        this limit a backlog would be scored once for each of its utterances.
        """
        if self._scored >= self.end:
            return None
        end = min(self.end, self._scored + round(MAX_SCORED_S * self.rate))
        samples = self._timeline.view(self._scored, end)
        self._scored = end
        return ScoreRequest(self.key, self._vad, self.rate, samples)

    def on_scores(self, probabilities: Float32Array | None) -> Cut | None:
        """Take the answer to `score_request`; return the cut that it makes, to be applied.

        None: scoring failed. The audio since the cut is scored again in a call of its own, as
        another stream may have been the cause. If that fails as well, it is taken for speech.
        """
        if probabilities is not None:
            return self._segmenter.push(probabilities)
        if not self._vad.is_alone:
            lead_in, in_speech = self._vad.lead_in, self._state.in_speech
            self._score_from(self._timeline, in_speech=in_speech, lead_in=lead_in)
            self._vad.is_alone = True
            return None
        self._vad.has_failed = True
        return self._segmenter.push_speech(self._scored - self._timeline.start)

    def close_utterance(self, reason: EndReason) -> Cut:
        """Return the cut at the end of the audio, all of which must have been scored."""
        return self._segmenter.close(max(0, self.end - self._timeline.start), reason)

    def apply(self, cut: Cut) -> PendingUtterance | None:
        """Decide everything before the cut; return the utterance that ends there, if one does."""
        pending = None if cut.span is None else self._close(cut.span)
        audio = self._state.audio_samples + cut.at
        self._state = replace(self._state, in_speech=cut.in_speech, audio_samples=audio)
        at = self._timeline.start + cut.at
        lead_in = self._lead_in(at) if cut.in_speech else None
        self._timeline.trim(at)
        self._score_from(self._timeline, in_speech=cut.in_speech, lead_in=lead_in)
        return pending

    def apply_silence(self, cut: Cut) -> StreamWarning | None:
        """Apply a cut without an utterance; return a warning if there was sound for long."""
        start = self._timeline.start
        level = level_db(self._timeline.samples(start, start + cut.at))
        self.apply(cut)
        if level < _SOUND_DB or NO_SPEECH in self._state.warned:
            return None
        samples = self._state.no_speech_samples + cut.at
        self._state = replace(self._state, no_speech_samples=samples)
        if samples < NO_SPEECH_S * self.rate:
            return None
        self._state = replace(self._state, warned=(*self._state.warned, NO_SPEECH))
        return self.warn(
            f"{NO_SPEECH}: {samples // self.rate} s of sound at {level:.0f} dBFS without speech: "
            "music or noise, or codec, rate or channels are not as the headers state"
        )

    def open_utterance(self) -> OpenUtterance | None:
        """Return the open utterance so far, or None if none is open or it has no audio yet."""
        extent, cut = self._segmenter.open_extent(), self._timeline.start
        if extent is None or self._timeline.end <= cut:
            return None
        return OpenUtterance(
            id=UtteranceId(self.key, self._state.utterances),
            start=cut + extent.start,
            end=cut + extent.end,
            rate=self.rate,
            options=self._state.options,
            is_ending=self._is_pausing(extent),
        )

    def interim(self) -> InterimDecode:
        """Return what `open_utterance` returns, with its audio, to be decoded."""
        opened, span = self.open_utterance(), self._segmenter.open_span()
        if opened is None or span is None:
            raise ValueError("no utterance is open")
        utterance = self._utterance(span)
        return InterimDecode(
            id=opened.id,
            utterance=utterance,
            options=opened.options,
            is_ending=opened.is_ending,
            time_ms=self._timeline.time_ms(utterance.end - 1),
            first_offset=self._timeline.offsets(utterance.start, utterance.start + 1)[0],
            uncut_s=self._config.uncut_ms / 1000,
            language=self._state.language,
        )

    def set_language(self, language: LanguageHold) -> None:
        self._state = replace(self._state, language=language)

    def announce(self, problems: Sequence[str]) -> tuple[StreamStarted | StreamWarning, ...]:
        """Return the start of the session, and a warning for each option that does not apply."""
        started = self._event(
            StreamStarted,
            rate=self.rate,
            channels=self._state.channels,
            languages=self._state.options.languages or (),
        )
        return (started, *map(self.warn, problems))

    def warn(self, message: str) -> StreamWarning:
        return self._event(StreamWarning, message=message)

    def _is_pausing(self, extent: OpenExtent) -> bool:
        quiet = extent.end - extent.speech_end
        return quiet >= self._config.post_roll_ms * self.rate // 1000

    def insert_gap(self, to: int, wall_ms: float, *, estimated: bool) -> StreamGap:
        """Skip to sample `to`; the open utterance must have been closed."""
        start = self.end
        gap = self._event(
            StreamGap, start_sample=start, end_sample=to, rate=self.rate, estimated=estimated
        )
        self._state = replace(self._state, gaps=self._state.gaps + 1)
        self._score_from(Timeline(self.rate, to, (to, wall_ms)))
        return gap

    def report_loss(self, first_offset: int, last_offset: int) -> StreamLoss:
        """Return the event for records that are lost."""
        return self._event(StreamLoss, first_offset=first_offset, last_offset=last_offset)

    def finish(self, reason: StreamEndReason) -> StreamEnded:
        """Return the end of the session; the open utterance must have been closed."""
        return self._event(
            StreamEnded,
            reason=reason,
            utterances=self._state.utterances,
            audio_s=self._state.audio_samples / self.rate,
            speech_s=self._state.speech_samples / self.rate,
            gaps=self._state.gaps,
        )

    def _lead_in(self, cut: int) -> Int16Array:
        """Return the audio before a cut that a detector needs to recognise continuing speech."""
        start = cut - _LEAD_IN_MS * self.rate // 1000
        return self._timeline.samples(max(self._timeline.start, start), cut)

    def _score_from(
        self, timeline: Timeline, *, in_speech: bool = False, lead_in: Int16Array | None = None
    ) -> None:
        self._timeline = timeline
        self._segmenter = Segmenter(self._config, self.rate, in_speech=in_speech)
        self._scored = timeline.start
        self._vad = VadState(lead_in)

    def _close(self, span: UtteranceSpan) -> PendingUtterance:
        utterance, timeline, state = self._utterance(span), self._timeline, self._state
        pending = PendingUtterance(
            id=UtteranceId(self.key, utterance.number),
            utterance=utterance,
            options=state.options,
            index=state.events,
            started_at_ms=timeline.time_ms(utterance.start),
            # The sample after it may be of the next record, which has a wall time of its own.
            speech_end_ms=timeline.time_ms(utterance.speech_end - 1),
            ended_at_ms=timeline.time_ms(utterance.end - 1),
            source=Source(*self.key.partition, *timeline.offsets(utterance.start, utterance.end)),
            traceparent=state.traceparent,
            attempts=state.attempts,
            language=state.language,
        )
        self._state = replace(
            state,
            events=state.events + 1,
            utterances=state.utterances + 1,
            no_speech_samples=0,
            speech_samples=state.speech_samples + utterance.end - utterance.start,
            attempts=0,
        )
        return pending

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

    def _event(self, kind: type[EventT], **fields: Any) -> EventT:
        """Return the next event of the session, at the newest sample."""
        event = kind(
            stream_id=self.key.stream_id,
            session_id=self.key.session_id,
            index=self._state.events,
            time_ms=self._timeline.time_ms(self.end),
            traceparent=self._state.traceparent,
            **fields,
        )
        self._state = replace(self._state, events=self._state.events + 1)
        return event
