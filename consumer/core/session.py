"""One session of one stream: from its first record to its end, a rate change or a restart.

    append -> unscored -> (the detector, elsewhere) -> hear -> a cut -> an utterance, or silence

At every cut the detector starts afresh and hears the audio behind the cut again, so that a replay
from any cut cuts alike (docs/guarantees.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from consumer.core.progress import Ledger, Position, Ticket
from consumer.core.segmenter import Cut, Segmenter, SegmenterConfig, Span
from consumer.core.timeline import Sound, Timeline
from consumer.core.values import (
    Ear,
    EndReason,
    Float32Array,
    JobId,
    Listen,
    SessionKey,
    Utterance,
)
from schemas.audio import StreamOptions
from schemas.transcript import (
    Event,
    Source,
    StreamEnded,
    StreamEndReason,
    StreamGap,
    StreamStarted,
    StreamWarning,
)

EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True, slots=True)
class Begin:
    """What the first record of a session settles."""

    key: SessionKey
    offset: int
    first: int  # index of the first sample
    wall_ms: float  # Unix time of the first sample
    rate: int  # Hz
    channels: int
    options: StreamOptions  # complete: no field is None but prompt and hotwords
    problems: tuple[str, ...]  # options that do not hold
    traceparent: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """An utterance that waits for its text, and all that its final says beside it."""

    id: JobId
    ticket: Ticket
    utterance: Utterance
    options: StreamOptions
    index: int  # of its event
    started_at_ms: int  # Unix time of the first sample
    speech_end_ms: int  # of the last sample heard as speech
    ended_at_ms: int  # of the last sample
    source: Source
    traceparent: str | None


class Session:
    """Audio in, cuts out; keeps the ledger's queue of its stream."""

    _timeline: Timeline  # audio since the last cut
    _segmenter: Segmenter
    _ear: Ear
    _scored: int  # sample up to which the detector was given audio

    def __init__(self, begin: Begin, config: SegmenterConfig, ledger: Ledger) -> None:
        self.key = begin.key
        self.rate = begin.rate
        self._begin = begin
        self._config = replace(config, endpoint_ms=begin.options.endpoint_ms or config.endpoint_ms)
        self._ledger = ledger
        self._offset = begin.offset  # of the last record taken
        self._events = self._utterances = self._gaps = 0
        self._audio_samples = self._speech_samples = 0
        self._listen_from(Timeline(begin.rate, begin.first, begin.wall_ms))
        self._announce()

    @property
    def end(self) -> int:
        """Index of the first sample that has not come yet."""
        return self._timeline.end

    @property
    def in_speech(self) -> bool:
        return self._segmenter.open_since is not None

    @property
    def held(self) -> Position | None:
        """Where audio begins that nothing was decided about; None: all that came is decided."""
        return self._timeline.position(self._timeline.start)

    def append(self, sound: Sound) -> None:
        self._timeline.append(sound)
        self._offset = sound.offset
        self._audio_samples += len(sound.samples)

    def unscored(self) -> Listen | None:
        """Audio that the detector has not been given since the last cut; None: there is none."""
        if self._scored == self.end:
            return None
        samples = self._timeline.samples(self._scored, self.end)
        self._scored = self.end
        return Listen(self.key, self._ear, self.rate, samples)

    def hear(self, probabilities: Float32Array) -> Heard | None:
        """The detector's answer to what `unscored` gave; may make one cut, and an utterance."""
        cut = self._segmenter.push(probabilities)
        return None if cut is None else self._apply(cut)

    def close_utterance(self, reason: EndReason) -> Heard | None:
        """No more audio belongs to the open utterance; all that came must have been scored."""
        return self._apply(self._segmenter.close(self.end - self._timeline.start, reason))

    def gap(self, to: int, wall_ms: float, *, estimated: bool) -> None:
        """Audio up to sample `to` is missing; the open utterance must have been closed."""
        self._gaps += 1
        self._note(
            StreamGap,
            self.end,
            start_sample=self.end,
            end_sample=to,
            rate=self.rate,
            estimated=estimated,
        )
        self._listen_from(Timeline(self.rate, to, wall_ms))

    def finish(self, reason: StreamEndReason) -> None:
        """The session is over; the open utterance must have been closed."""
        self._note(
            StreamEnded,
            self.end,
            reason=reason,
            utterances=self._utterances,
            audio_s=self._audio_samples / self.rate,
            speech_s=self._speech_samples / self.rate,
            gaps=self._gaps,
        )

    def _announce(self) -> None:
        begin = self._begin
        self._note(
            StreamStarted,
            self.end,
            rate=begin.rate,
            channels=begin.channels,
            languages=begin.options.languages or (),
        )
        for problem in begin.problems:
            self._note(StreamWarning, self.end, message=problem)

    def _apply(self, cut: Cut) -> Heard | None:
        heard = None if cut.span is None else self._close(cut.span)
        self._timeline.trim(self._timeline.start + cut.at)
        self._listen_from(self._timeline, in_speech=cut.in_speech)
        return heard

    def _listen_from(self, timeline: Timeline, *, in_speech: bool = False) -> None:
        self._timeline = timeline
        self._segmenter = Segmenter(self._config, self.rate, in_speech=in_speech)
        self._scored = timeline.start
        self._ear = Ear()

    def _close(self, span: Span) -> Heard:
        utterance = self._utterance(span)
        self._utterances += 1
        self._speech_samples += utterance.end - utterance.start
        timeline = self._timeline
        return Heard(
            id=JobId(self.key, utterance.number),
            ticket=self._ledger.expect(self.key.stream_id, self._start()),
            utterance=utterance,
            options=self._begin.options,
            index=self._next_index(),
            started_at_ms=timeline.time_ms(utterance.start),
            # Not of the sample behind it: the next record has a clock of its own, if it has come.
            speech_end_ms=timeline.time_ms(utterance.speech_end - 1),
            ended_at_ms=timeline.time_ms(utterance.end - 1),
            source=Source(*self.key.partition, *timeline.offsets(utterance.start, utterance.end)),
            traceparent=self._begin.traceparent,
        )

    def _utterance(self, span: Span) -> Utterance:
        start, end = self._timeline.start + span.start, self._timeline.start + span.end
        return Utterance(
            number=self._utterances,
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
            index=self._next_index(),
            time_ms=self._timeline.time_ms(sample),
            traceparent=self._begin.traceparent,
            **fields,
        )
        self._ledger.note(self.key.stream_id, self._start(), event)  # type: ignore[arg-type]

    def _start(self) -> Position:
        """Where an entry begins that is queued now: at the last cut, else at the last record."""
        return self.held or Position(self._offset, 0)

    def _next_index(self) -> int:
        self._events += 1
        return self._events - 1
