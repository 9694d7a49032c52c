"""Speech probabilities of the windows behind one cut -> the next cut, and the utterance before it.

               2 of 3 windows >= .5
    SILENCE ---------------------------> SPEECH
     |   ^                                | | |
     |   |    the same, but less than     | | +-- longest length: CUT at the quietest window of the
     |   +--- 250 ms of it were speech ---+ |     last 3 s, of the later half where all of these
     |                                      |     are >= .35; the next one starts in SPEECH
     |                                      +---- 90 % of the last 500 ms < .35: CUT at the end
     +-- 10 s: CUT one pre-roll back              of speech + post-roll

An utterance begins one pre-roll before its first window, but never before the cut behind which
everything is scored afresh, so utterances cannot overlap. The thresholds are two (hysteresis) as in
silero-vad's own iterator. A segmenter ends with its first cut: the caller starts a new one there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from consumer.core.audio.utterance import EndReason, Float32Array, Speech
from consumer.core.audio.windows import window_at, window_start


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """Where speech begins and ends. Measured defaults; shares and probabilities are 0..1."""

    window_ms: int = 32  # the scorer's
    onset_windows: tuple[int, int] = (2, 3)  # the scorer's: so many of so many windows in a row
    onset: float = 0.5  # probability from which silence turns into speech
    offset: float = 0.35  # probability below which a window of an utterance is no speech
    endpoint_ms: int = 500  # what is looked back on for the end of speech
    endpoint_share: float = 0.9  # of its windows are no speech
    pre_roll_ms: int = 300  # kept before the first window heard
    post_roll_ms: int = 200  # kept after the end of speech
    min_speech_ms: int = 250  # from first to last window heard; less is a click
    max_utterance_ms: int = 15_000  # pre-roll and post-roll included
    split_ms: int = 3_000  # where the longest utterance is cut: its end, if that has a pause
    silence_cut_ms: int = 10_000  # without an utterance

    @property
    def retreat_ms(self) -> int:
        """Where the longest utterance is cut if its end has no pause: its last third."""
        return self.max_utterance_ms // 3

    @property
    def uncut_ms(self) -> int:
        """Of an utterance, however long it grows: no cut of its length lies in it."""
        return max(0, self.max_utterance_ms - max(self.split_ms, self.retreat_ms))


@dataclass(frozen=True, slots=True)
class UtteranceSpan:
    """An utterance, [start, end) in samples since the last cut."""

    start: int
    end: int
    speech_end: int  # the last sample heard as speech, + 1
    reason: EndReason
    speech: Speech


@dataclass(frozen=True, slots=True)
class Cut:
    """Everything before `at` is decided, and scoring starts afresh there."""

    at: int  # samples since the last cut
    span: UtteranceSpan | None  # the utterance that ends at the cut; None: it was silence
    in_speech: bool = False  # how the next segmenter starts


@dataclass(slots=True)
class _Open:
    """The utterance that has begun and has not ended."""

    first: int  # its first window heard
    start: int  # its first sample, pre-roll included
    min_speech: int  # samples
    quiet: int = 0  # windows below `offset` among those looked back on


class Segmenter:
    """Pushing the same windows in any portions makes the same cut."""

    def __init__(self, config: SegmenterConfig, rate: int, *, in_speech: bool = False) -> None:
        self._config = config
        self._rate = rate
        self._endpoint_windows = round(config.endpoint_ms / config.window_ms)
        self._endpoint_quiet = ceil(self._endpoint_windows * config.endpoint_share)
        self._probabilities: list[float] = []  # bounded by `silence_cut_ms` + `max_utterance_ms`
        # What a split leaves over is the rest of something heard already: none of it is a click.
        self._open = _Open(first=0, start=0, min_speech=1) if in_speech else None
        self._spent = False

    @property
    def open_since(self) -> int | None:
        """First sample of the open utterance, counted from the cut."""
        return None if self._open is None else self._open.start

    def push(self, probabilities: Float32Array) -> Cut | None:
        """Take the next windows in order, up to the first cut; the rest lies behind it."""
        self._check_unspent()
        for probability in probabilities.tolist():
            self._probabilities.append(probability)
            cut = self._in_silence() if self._open is None else self._in_speech(self._open)
            if cut is not None:
                self._spent = True
                return cut
        return None

    def open_span(self) -> UtteranceSpan | None:
        """The open utterance as it would end if no more speech came; None: none is open.

        Where it has been quiet for `post_roll_ms`, that is the span an endpoint would give.
        """
        if self._open is None:
            return None
        speech_end = self._speech_end(self._open, len(self._probabilities))
        end = min(self.scored, speech_end + self._samples(self._config.post_roll_ms))
        return self._span(self._open, end, speech_end, EndReason.SILENCE)

    def close(self, length: int, reason: EndReason) -> Cut:
        """No audio follows the `length` samples since the cut: the open utterance ends there.

        Raises `ValueError` unless every whole window of them was pushed.
        """
        self._check_unspent()
        windows = len(self._probabilities)
        if self._index(length) != windows:
            raise ValueError(f"{windows} windows were scored, which is not all of {length} samples")
        self._spent = True
        if self._open is None:
            return Cut(length, None)
        speech_end = self._speech_end(self._open, windows)
        span = self._span(self._open, length, speech_end, reason)
        # What a stall leaves over is the rest of something heard already, as behind a split: the
        # quiet before it was too short to end anything, and may lie between two syllables.
        return Cut(length, span, in_speech=reason is EndReason.STALLED)

    def _in_silence(self) -> Cut | None:
        if (first := self._onset()) is not None:
            self._open = self._begin(first)
        elif self.scored >= self._samples(self._config.silence_cut_ms):
            return Cut(self.scored - self._samples(self._config.pre_roll_ms), None)
        return None

    def _onset(self) -> int | None:
        """The first window of speech that has just become certain."""
        if self._probabilities[-1] < self._config.onset:
            return None
        enough, among = self._config.onset_windows
        end = len(self._probabilities)
        recent = range(max(0, end - among), end)
        heard = [index for index in recent if self._probabilities[index] >= self._config.onset]
        return heard[0] if len(heard) >= enough else None

    def _begin(self, first: int) -> _Open:
        end = len(self._probabilities)
        start = max(0, self._start(first) - self._samples(self._config.pre_roll_ms))
        looked_back = range(max(first, end - self._endpoint_windows), end)
        quiet = sum(not self._is_speech(index) for index in looked_back)
        return _Open(first, start, self._samples(self._config.min_speech_ms), quiet)

    def _in_speech(self, utterance: _Open) -> Cut | None:
        newest = len(self._probabilities) - 1
        oldest = newest - self._endpoint_windows
        utterance.quiet += not self._is_speech(newest)
        if oldest >= utterance.first:
            utterance.quiet -= not self._is_speech(oldest)
        if oldest + 1 >= utterance.first and utterance.quiet >= self._endpoint_quiet:
            return self._endpoint(utterance)
        longest = utterance.start + self._samples(self._config.max_utterance_ms)
        return self._split(utterance) if self._start(newest + 2) > longest else None

    def _endpoint(self, utterance: _Open) -> Cut | None:
        speech_end = self._speech_end(utterance, self._settled())
        end = min(self.scored, speech_end + self._samples(self._config.post_roll_ms))
        span = self._span(utterance, end, speech_end, EndReason.SILENCE)
        if span is None:
            self._open = None
            return None
        return Cut(end, span)

    def _settled(self) -> int:
        """Windows that can end the speech: a blip too late for its post-roll is left behind."""
        room = self.scored - self._samples(self._config.post_roll_ms)
        lookback = len(self._probabilities) - self._endpoint_windows
        return max(lookback, self._index(room))

    def _split(self, utterance: _Open) -> Cut:
        quietest = self._quietest(utterance, self._config.split_ms)
        if self._is_speech(quietest):
            quietest = self._quietest(utterance, self._config.retreat_ms)
        at = (self._start(quietest) + self._start(quietest + 1)) // 2
        speech_end = min(at, self._speech_end(utterance, quietest + 1))
        span = self._span(utterance, at, speech_end, EndReason.MAX_LENGTH)
        return Cut(at, span, in_speech=True)

    def _quietest(self, utterance: _Open, within_ms: int) -> int:
        """Of the last windows; the latest of equals."""
        windows = len(self._probabilities)
        earliest = max(utterance.first, windows - within_ms // self._config.window_ms)
        return min(range(windows - 2, earliest, -1), key=self._loudness)

    def _loudness(self, index: int) -> tuple[float, float]:
        """Among windows that are equally quiet the neighbours decide: the middle of a pause."""
        return self._probabilities[index], sum(self._probabilities[index - 1 : index + 2])

    def _speech_end(self, utterance: _Open, stop: int) -> int:
        """End of the last window heard before window `stop`."""
        for index in range(stop - 1, utterance.first - 1, -1):
            if self._is_speech(index):
                return self._start(index + 1)
        return self._start(utterance.first)

    def _span(
        self, utterance: _Open, end: int, speech_end: int, reason: EndReason
    ) -> UtteranceSpan | None:
        if speech_end - self._start(utterance.first) < utterance.min_speech:
            return None
        return UtteranceSpan(
            utterance.start, end, speech_end, reason, self._speech(utterance.start, end)
        )

    def _speech(self, start: int, end: int) -> Speech:
        windows = self._probabilities[self._index(start) : self._index(end - 1) + 1]
        return Speech(
            ratio=sum(probability >= self._config.offset for probability in windows) / len(windows),
            peak=max(windows),
            mean=sum(windows) / len(windows),
            probabilities=tuple(windows),
            window_ms=self._config.window_ms,
        )

    def _is_speech(self, index: int) -> bool:
        return self._probabilities[index] >= self._config.offset

    @property
    def scored(self) -> int:
        """Samples that every window pushed so far makes together."""
        return self._start(len(self._probabilities))

    def _start(self, index: int) -> int:
        return window_start(index, self._config.window_ms, self._rate)

    def _index(self, sample: int) -> int:
        return window_at(sample, self._config.window_ms, self._rate)

    def _samples(self, milliseconds: int) -> int:
        return milliseconds * self._rate // 1000

    def _check_unspent(self) -> None:
        if self._spent:
            raise RuntimeError("this segmenter has made its cut; start a new one there")
