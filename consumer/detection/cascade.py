"""Speech scorers: audio of many streams in, the probability of speech in every window out.

    webrtc    webrtcvad alone, 20 ms frames: costs next to nothing, hears speech in music and noise
    silero    a small recurrent network, 32 ms windows
    cascade   silero, but only on windows near which webrtcvad hears speech: silence is free

Windows are counted from the cut at which a detector is opened; the chunking changes nothing. What
it says depends on nothing before the cut, unless speech goes on over it: then the detector hears
the audio before first. One that begins in the middle of a word takes half a second to believe it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import webrtcvad

from consumer.core.audio.samples import from_float, to_float
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Int16Array
from consumer.core.audio.windows import Framer, resampling, window_start
from consumer.detection import silero
from consumer.detection.detector_thread import SpeechScorer
from consumer.settings import Detector

FRAME_MS = 20
_MODE = 2  # of webrtcvad: 1 hears speech in noise, 3 loses quiet speech
_WEBRTC_RATES = (8_000, 16_000, 32_000, 48_000)
_HANGOVER_MS = 300  # the gate stays open so long after a frame of speech


class WebrtcFrames:
    """webrtcvad over one stream."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._vad = webrtcvad.Vad(_MODE)
        self.restart()

    def restart(self) -> None:
        """Frames are counted from here."""
        self._framer = Framer(FRAME_MS, self._rate)

    def push(self, samples: Int16Array) -> list[bool]:
        """Whether each frame that is complete now is speech."""
        return [self._is_speech(frame) for frame in self._framer.push(samples)]

    def _is_speech(self, frame: Int16Array) -> bool:
        rate = self._rate
        if rate not in _WEBRTC_RATES:
            frame = from_float(to_float(frame) @ resampling(len(frame), rate, FRAME_MS))
            rate = WHISPER_RATE
        speech: bool = self._vad.is_speech(frame.tobytes(), rate)
        return speech


class WebrtcDetector:
    """webrtcvad alone: every frame is 0 or 1."""

    segmenter = SegmenterConfig(window_ms=FRAME_MS, onset_windows=(8, 10))

    def open(self, rate: int, before: Int16Array | None = None) -> WebrtcFrames:
        frames = WebrtcFrames(rate)
        if before is not None:
            frames.push(before)
            frames.restart()
        return frames

    def score(self, work: Sequence[tuple[WebrtcFrames, Int16Array]]) -> list[Float32Array]:
        """More audio for each detector, once each; scores of the frames that are complete now."""
        return [np.array(frames.push(samples), np.float32) for frames, samples in work]


class WebrtcGate:
    """Lets a window pass if a frame that ends inside it, or up to 300 ms before, was speech."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._hangover = _HANGOVER_MS * rate // 1000
        self._frames = WebrtcFrames(rate)
        self._frame = self._window = 0  # the next ones
        self._spoken: deque[int] = deque()  # ends of frames of speech that no window reached yet
        self._last: int | None = None  # end of the last one that a window reached

    def restart(self) -> None:
        """Windows are counted from here; who spoke a moment ago may still be speaking."""
        end = window_start(self._frame, FRAME_MS, self._rate)
        spoken = self._spoken[-1] if self._spoken else self._last
        self._last = None if spoken is None else spoken - end
        self._frames.restart()
        self._frame = self._window = 0
        self._spoken.clear()

    def push(self, samples: Int16Array) -> None:
        for speech in self._frames.push(samples):
            self._frame += 1
            if speech:
                self._spoken.append(window_start(self._frame, FRAME_MS, self._rate))

    def passes(self) -> bool:
        """Whether the next window may pass; all of it must have been pushed."""
        start, end = (
            window_start(self._window + step, silero.WINDOW_MS, self._rate) for step in (0, 1)
        )
        self._window += 1
        while self._spoken and self._spoken[0] <= end:
            self._last = self._spoken.popleft()
        return self._last is not None and self._last > start - self._hangover


class SileroWindows:
    """One stream as silero hears it; its state rests while the gate is shut."""

    def __init__(self, rate: int, gate: WebrtcGate | None) -> None:
        self.rate = rate
        self.state = silero.fresh_state()
        self._gate = gate
        self._framer = Framer(silero.WINDOW_MS, rate, silero.CONTEXT_MS)

    def restart(self) -> None:
        """Windows are counted from here."""
        self._framer = Framer(silero.WINDOW_MS, self.rate, silero.CONTEXT_MS)
        if self._gate is not None:
            self._gate.restart()

    def push(self, samples: Int16Array) -> tuple[npt.NDArray[np.bool_], list[Int16Array]]:
        """Which of the windows that are complete now pass the gate, and those that do."""
        windows = self._framer.push(samples)
        if self._gate is None:
            return np.ones(len(windows), bool), windows
        self._gate.push(samples)
        passed = [self._gate.passes() for _ in windows]
        return np.array(passed, bool), [
            window for window, passes in zip(windows, passed, strict=True) if passes
        ]


class SileroDetector:
    """Silero over all streams at once, behind the gate or without; a shut gate scores 0."""

    segmenter = SegmenterConfig(window_ms=silero.WINDOW_MS, onset_windows=(2, 3))

    def __init__(self, *, gated: bool) -> None:
        self._gated = gated
        self._network = silero.Network()

    def open(self, rate: int, before: Int16Array | None = None) -> SileroWindows:
        windows = SileroWindows(rate, WebrtcGate(rate) if self._gated else None)
        if before is not None:
            self.score([(windows, before)])
            windows.restart()
        return windows

    def score(self, work: Sequence[tuple[SileroWindows, Int16Array]]) -> list[Float32Array]:
        """More audio for each detector, once each; scores of the windows that are complete now."""
        heard = [detector.push(samples) for detector, samples in work]
        scores = [np.zeros(len(passed), np.float32) for passed, _ in heard]
        busy = [index for index, (_, windows) in enumerate(heard) if windows]
        if busy:
            detectors = [work[index][0] for index in busy]
            probabilities = self._listen(detectors, [heard[index][1] for index in busy])
            for index, probability in zip(busy, probabilities, strict=True):
                scores[index][heard[index][0]] = probability
        return scores

    def _listen(
        self, detectors: Sequence[SileroWindows], windows: Sequence[list[Int16Array]]
    ) -> list[Float32Array]:
        counts = [len(stream) for stream in windows]
        probabilities, states = self._network.score(
            _clips(detectors, windows), counts, np.stack([each.state for each in detectors])
        )
        for detector, state in zip(detectors, states, strict=True):
            detector.state = state.copy()  # a view would keep the states of all streams in memory
        return np.split(probabilities, np.cumsum(counts)[:-1])


def load(kind: Detector) -> SpeechScorer:
    """What scores speech; its `segmenter` is how to segment by its scores."""
    match kind:
        case Detector.WEBRTC:
            return WebrtcDetector()
        case Detector.SILERO:
            return SileroDetector(gated=False)
        case Detector.CASCADE:
            return SileroDetector(gated=True)


def _clips(detectors: Sequence[SileroWindows], windows: Sequence[list[Int16Array]]) -> Float32Array:
    """All windows, [N, 576] at 16 kHz; those of one rate and length are resampled together."""
    flat = [window for stream in windows for window in stream]
    rates = [each.rate for each, stream in zip(detectors, windows, strict=True) for _ in stream]
    alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row, (rate, window) in enumerate(zip(rates, flat, strict=True)):
        alike[rate, len(window)].append(row)
    clips = np.empty((len(flat), silero.CLIP_SAMPLES), np.float32)
    for (rate, length), rows in alike.items():
        batch = to_float(np.stack([flat[row] for row in rows]))
        if rate != WHISPER_RATE:
            batch = batch @ resampling(length, rate, silero.WINDOW_MS, silero.CONTEXT_MS)
        clips[rows] = batch
    return clips
