"""The segmenter: speech probabilities of the windows after one cut in, the next cut out.

               2 of 3 windows >= .5
    SILENCE ---------------------------> SPEECH
     |   ^                                | | |
     |   |    the same, but less than     | | +-- maximum length: CUT at the quietest window of the
     |   +--- 250 ms of it were speech ---+ |     last 3 s, or of the last third if all of these
     |                                      |     are >= .35; the next segmenter starts in SPEECH
     |                                      +---- 90 % of the last 500 ms < .35: CUT at the end
     +-- 10 s: CUT one pre-roll back              of speech + post-roll

An utterance begins one pre-roll before its first window of speech, but never before the last cut,
so utterances do not overlap. Two thresholds give hysteresis, as in silero-vad's iterator. A
segmenter makes one cut; the caller starts a new one there, and scores the audio after it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from consumer.core.audio.utterance import EndReason, Float32Array, Speech
from consumer.core.audio.windows import window_at, window_start


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """Thresholds of onset and endpointing. Measured defaults; shares and probabilities are 0..1."""

    window_ms: int = 32  # of the detector
    onset_windows: tuple[int, int] = (2, 3)  # (n, m): n of m windows in a row are an onset
    onset: float = 0.5  # lowest probability of a window that counts for an onset
    offset: float = 0.35  # lowest probability of speech within an utterance
    endpoint_ms: int = 500  # length that is examined for the end of speech
    endpoint_share: float = 0.9  # share of its windows below `offset` that ends the utterance
    pre_roll_ms: int = 300  # kept before the first window of speech
    post_roll_ms: int = 200  # kept after the end of speech
    min_speech_ms: int = 250  # from the first to the last window of speech; less is a click
    max_utterance_ms: int = 15_000  # pre-roll and post-roll included
    split_ms: int = 3_000  # a split is searched in the last `split_ms`, if they have a pause
    silence_cut_ms: int = 10_000  # silence after which a cut is made without an utterance

    @property
    def retreat_ms(self) -> int:
        """A split is searched in the last `retreat_ms` if the last `split_ms` have no pause."""
        return self.max_utterance_ms // 3

    @property
    def uncut_ms(self) -> int:
        """Leading part of an utterance in which no split for its length can lie."""
        return max(0, self.max_utterance_ms - max(self.split_ms, self.retreat_ms))


class OpenExtent(NamedTuple):
    """The open utterance as it would end if no more speech followed, in samples since the cut."""

    start: int
    end: int
    speech_end: int


@dataclass(frozen=True, slots=True)
class UtteranceSpan:
    """An utterance: [start, end) in samples since the last cut."""

    start: int
    end: int
    speech_end: int  # the last sample of speech, + 1
    reason: EndReason
    speech: Speech


@dataclass(frozen=True, slots=True)
class Cut:
    """The end of all decided audio; scoring starts anew at `at`."""

    at: int  # samples since the last cut
    span: UtteranceSpan | None  # the utterance that ends at the cut; None: silence
    in_speech: bool = False  # whether the next segmenter starts in speech


@dataclass(slots=True)
class _Open:
    """The open utterance."""

    first: int  # first window of speech
    start: int  # first sample, pre-roll included
    longest_end: int  # the last sample that it may have, + 1
    min_speech: int  # samples
    quiet: int = 0  # windows below `offset` among the last `endpoint_ms`


class Segmenter:
    """Finds the next cut. How the windows are divided into pushes makes no difference."""

    def __init__(self, config: SegmenterConfig, rate: int, *, in_speech: bool = False) -> None:
        self._config = config
        self._rate = rate
        self._endpoint_windows = round(config.endpoint_ms / config.window_ms)
        self._endpoint_quiet = ceil(self._endpoint_windows * config.endpoint_share)
        self._probabilities: list[float] = []  # bounded by `silence_cut_ms` + `max_utterance_ms`
        self._pre_roll = self._samples(config.pre_roll_ms)
        self._post_roll = self._samples(config.post_roll_ms)
        self._longest = self._samples(config.max_utterance_ms)
        self._silence_cut = self._samples(config.silence_cut_ms)
        # After a split, speech of any length continues the utterance before: none of it is a click.
        self._open = _Open(0, 0, self._longest, min_speech=1) if in_speech else None
        self._has_cut = False

    @property
    def open_since(self) -> int | None:
        """First sample of the open utterance, counted from the cut; None: no utterance is open."""
        return None if self._open is None else self._open.start

    def push(self, probabilities: Float32Array) -> Cut | None:
        """Add the next windows in order; return the first cut, ignoring what follows, or None."""
        self._check_no_cut()
        fresh = probabilities.tolist()
        if self._is_all_silence(fresh):
            self._probabilities += fresh
            return None
        for probability in fresh:
            self._probabilities.append(probability)
            cut = self._in_silence() if self._open is None else self._in_speech(self._open)
            if cut is not None:
                self._has_cut = True
                return cut
        return None

    def _is_all_silence(self, fresh: list[float]) -> bool:
        """Return whether these windows make no onset, and no cut of silence."""
        if self._open is not None or max(fresh, default=0.0) >= self._config.onset:
            return False
        return self._start(len(self._probabilities) + len(fresh)) < self._silence_cut

    def push_speech(self, length: int) -> Cut | None:
        """Take the windows that are missing up to `length` samples since the cut for speech."""
        missing = self._index(length) - len(self._probabilities)
        return self.push(np.ones(missing, np.float32))

    def open_extent(self) -> OpenExtent | None:
        """Return the extent of the open utterance so far; None: there is none, or it is a click.

        After `post_roll_ms` of non-speech it is that of the span which an endpoint would give.
        """
        if self._open is None:
            return None
        speech_end = self._speech_end(self._open, len(self._probabilities))
        if self._is_click(self._open, speech_end):
            return None
        end = min(self.scored, speech_end + self._post_roll)
        return OpenExtent(self._open.start, end, speech_end)

    def open_span(self) -> UtteranceSpan | None:
        """Return the open utterance of `open_extent` with its scores, or None."""
        extent = self.open_extent()
        if extent is None:
            return None
        speech = self._speech(extent.start, extent.end)
        return UtteranceSpan(*extent, EndReason.SILENCE, speech)

    def close(self, length: int, reason: EndReason) -> Cut:
        """End the open utterance after `length` samples since the last cut; return the cut there.

        Raises `ValueError` unless every whole window of them was pushed.
        """
        self._check_no_cut()
        windows = len(self._probabilities)
        if self._index(length) != windows:
            raise ValueError(f"{windows} windows were scored, which is not all of {length} samples")
        self._has_cut = True
        if self._open is None:
            return Cut(length, None)
        speech_end = self._speech_end(self._open, windows)
        span = self._span(self._open, length, speech_end, reason)
        # Speech after a stall continues the utterance, as after a split: the non-speech before it
        # was too short for an endpoint, and may lie between two syllables.
        return Cut(length, span, in_speech=reason is EndReason.STALLED)

    def _in_silence(self) -> Cut | None:
        if (first := self._onset()) is not None:
            self._open = self._opened(first)
        elif self.scored >= self._silence_cut:
            return Cut(self.scored - self._pre_roll, None)
        return None

    def _onset(self) -> int | None:
        """Return the first window of an onset that the newest window completes, or None."""
        if self._probabilities[-1] < self._config.onset:
            return None
        enough, among = self._config.onset_windows
        end = len(self._probabilities)
        recent = range(max(0, end - among), end)
        speech = [index for index in recent if self._probabilities[index] >= self._config.onset]
        return speech[0] if len(speech) >= enough else None

    def _opened(self, first: int) -> _Open:
        end = len(self._probabilities)
        start = max(0, self._start(first) - self._pre_roll)
        examined = range(max(first, end - self._endpoint_windows), end)
        quiet = sum(not self._is_speech(index) for index in examined)
        least = self._samples(self._config.min_speech_ms)
        return _Open(first, start, start + self._longest, least, quiet)

    def _in_speech(self, utterance: _Open) -> Cut | None:
        probabilities, offset = self._probabilities, self._config.offset
        newest = len(probabilities) - 1
        oldest = newest - self._endpoint_windows
        utterance.quiet += probabilities[newest] < offset
        if oldest >= utterance.first:
            utterance.quiet -= probabilities[oldest] < offset
        if oldest + 1 >= utterance.first and utterance.quiet >= self._endpoint_quiet:
            return self._endpoint(utterance)
        is_longest = self._start(newest + 2) > utterance.longest_end
        return self._split(utterance) if is_longest else None

    def _endpoint(self, utterance: _Open) -> Cut | None:
        speech_end = self._speech_end(utterance, self._endpoint_stop())
        end = min(self.scored, speech_end + self._post_roll)
        span = self._span(utterance, end, speech_end, EndReason.SILENCE)
        if span is None:
            self._open = None
            return None
        return Cut(end, span)

    def _endpoint_stop(self) -> int:
        """Return the end of the windows that may end the speech: later ones lack a post-roll."""
        room = self.scored - self._post_roll
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
        """Return the quietest of the last windows, the latest of equal ones."""
        windows = len(self._probabilities)
        earliest = max(utterance.first, windows - within_ms // self._config.window_ms)
        return min(range(windows - 2, earliest, -1), key=self._loudness)

    def _loudness(self, index: int) -> tuple[float, float]:
        """Return a sort key; of equal windows the neighbours decide: the middle of a pause."""
        return self._probabilities[index], sum(self._probabilities[index - 1 : index + 2])

    def _speech_end(self, utterance: _Open, stop: int) -> int:
        """Return the end of the last window of speech before window `stop`."""
        probabilities, offset = self._probabilities, self._config.offset
        for index in range(stop - 1, utterance.first - 1, -1):
            if probabilities[index] >= offset:
                return self._start(index + 1)
        return self._start(utterance.first)

    def _span(
        self, utterance: _Open, end: int, speech_end: int, reason: EndReason
    ) -> UtteranceSpan | None:
        if self._is_click(utterance, speech_end):
            return None
        return UtteranceSpan(
            utterance.start, end, speech_end, reason, self._speech(utterance.start, end)
        )

    def _is_click(self, utterance: _Open, speech_end: int) -> bool:
        return speech_end - self._start(utterance.first) < utterance.min_speech

    def _speech(self, start: int, end: int) -> Speech:
        windows = self._probabilities[self._index(start) : self._index(end - 1) + 1]
        return Speech(
            ratio=sum(map(self._config.offset.__le__, windows)) / len(windows),
            peak=max(windows),
            mean=sum(windows) / len(windows),
            probabilities=tuple(windows),
            window_ms=self._config.window_ms,
        )

    def _is_speech(self, index: int) -> bool:
        return self._probabilities[index] >= self._config.offset

    @property
    def scored(self) -> int:
        """Samples of all windows pushed so far."""
        return self._start(len(self._probabilities))

    def _start(self, index: int) -> int:
        return window_start(index, self._config.window_ms, self._rate)

    def _index(self, sample: int) -> int:
        return window_at(sample, self._config.window_ms, self._rate)

    def _samples(self, milliseconds: int) -> int:
        return milliseconds * self._rate // 1000

    def _check_no_cut(self) -> None:
        if self._has_cut:
            raise RuntimeError("this segmenter has made its cut: start a new one there")
