"""Speech scorers: return the speech probability of every window, for many streams in one call.

    webrtc    webrtcvad alone, 20 ms frames: nearly free, but takes music and noise for speech
    silero    a small recurrent network, 32 ms windows
    cascade   silero, only on windows near which webrtcvad finds speech: silence costs nothing

Windows are counted from the cut at which a detector is opened, and do not depend on the chunking of
the audio. Scores depend on no audio before the cut, unless speech continues across it: then the
detector first processes that audio, because one that starts inside a word needs half a second to
detect speech.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import webrtcvad

from consumer.core.audio.gain import GainWork, RunningGain, amplify
from consumer.core.audio.samples import from_float, to_float
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Int16Array
from consumer.core.audio.windows import Framer, resampling, window_start
from consumer.detection import silero
from consumer.detection.detector_thread import SpeechScorer
from consumer.settings import Detector

FRAME_MS = 20
_MODE = 2  # of webrtcvad: 1 takes noise for speech, 3 misses quiet speech
_WEBRTC_RATES = (8_000, 16_000, 32_000, 48_000)
_HANGOVER_MS = 300  # how long the gate stays open after a frame of speech


class WebrtcFrames:
    """webrtcvad on one stream."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._vad = webrtcvad.Vad(_MODE)
        self._gain = RunningGain(FRAME_MS)
        self.restart()

    def restart(self) -> None:
        """Count frames from the next sample on."""
        self._framer = Framer(FRAME_MS, self._rate)

    def push(self, samples: Int16Array) -> GainWork:
        """Return the frames that these samples complete, to be amplified for `speech`."""
        return GainWork(self._gain, self._framer.push(samples))

    def speech(self, frames: Sequence[Int16Array]) -> list[bool]:
        """Return whether each of the next frames is speech."""
        return [self._is_speech(frame) for frame in frames]

    def _is_speech(self, frame: Int16Array) -> bool:
        rate = self._rate
        if rate not in _WEBRTC_RATES:
            frame = from_float(to_float(frame) @ resampling(len(frame), rate, FRAME_MS))
            rate = WHISPER_RATE
        speech: bool = self._vad.is_speech(frame.tobytes(), rate)
        return speech


class WebrtcDetector:
    """webrtcvad alone: each score is 0 or 1."""

    segmenter = SegmenterConfig(window_ms=FRAME_MS, onset_windows=(8, 10))

    def open(self, rate: int, before: Int16Array | None = None) -> WebrtcFrames:
        frames = WebrtcFrames(rate)
        if before is not None:
            self.score([(frames, before)])
            frames.restart()
        return frames

    def score(self, work: Sequence[tuple[WebrtcFrames, Int16Array]]) -> list[Float32Array]:
        """Push samples to each detector; return the scores of the frames that they complete.

        A detector may occur once in a call.
        """
        found = amplify([frames.push(samples) for frames, samples in work])
        return [
            np.array(detector.speech(frames), np.float32)
            for (detector, _), frames in zip(work, found, strict=True)
        ]


class WebrtcGate:
    """Passes a window if a frame of speech ends inside it or up to 300 ms before it."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._hangover = _HANGOVER_MS * rate // 1000
        self._frames = WebrtcFrames(rate)
        self._frame = self._window = 0  # indexes of the next ones
        self._speech_ends: deque[int] = deque()  # frames of speech after the last window
        self._last: int | None = None  # end of the last frame of speech within the windows so far

    def restart(self) -> None:
        """Count windows from the next sample on; the hangover of earlier speech continues."""
        end = window_start(self._frame, FRAME_MS, self._rate)
        last = self._speech_ends[-1] if self._speech_ends else self._last
        self._last = None if last is None else last - end
        self._frames.restart()
        self._frame = self._window = 0
        self._speech_ends.clear()

    def push(self, samples: Int16Array) -> GainWork:
        """Return the frames that these samples complete, to be amplified for `on_frames`."""
        return self._frames.push(samples)

    def on_frames(self, frames: Sequence[Int16Array]) -> None:
        """Take the next frames."""
        for speech in self._frames.speech(frames):
            self._frame += 1
            if speech:
                self._speech_ends.append(window_start(self._frame, FRAME_MS, self._rate))

    def passes(self) -> bool:
        """Return whether the next window passes; all of its frames must have been taken."""
        start = window_start(self._window, silero.WINDOW_MS, self._rate)
        self._window += 1
        end = window_start(self._window, silero.WINDOW_MS, self._rate)
        while self._speech_ends and self._speech_ends[0] <= end:
            self._last = self._speech_ends.popleft()
        return self._last is not None and self._last > start - self._hangover


class SileroWindows:
    """The windows and the network state of one stream; a closed gate leaves the state as it is."""

    def __init__(self, rate: int, gate: WebrtcGate | None) -> None:
        self.rate = rate
        self.state = silero.fresh_state()
        self._gate = gate
        self._framer = Framer(silero.WINDOW_MS, rate, silero.CONTEXT_MS)
        self._gain = RunningGain(silero.WINDOW_MS)

    def restart(self) -> None:
        """Count windows from the next sample on."""
        self._framer = Framer(silero.WINDOW_MS, self.rate, silero.CONTEXT_MS)
        if self._gate is not None:
            self._gate.restart()

    def push(self, samples: Int16Array) -> tuple[GainWork, GainWork]:
        """Return windows and frames that these samples complete, to be amplified for `select`."""
        windows = GainWork(self._gain, self._framer.push(samples))
        frames = GainWork(self._gain, ()) if self._gate is None else self._gate.push(samples)
        return windows, frames

    def select(
        self, windows: list[Int16Array], frames: Sequence[Int16Array]
    ) -> tuple[npt.NDArray[np.bool_], list[Int16Array]]:
        """Return whether each of the next windows passes, and those that do."""
        if self._gate is None:
            return np.ones(len(windows), bool), windows
        self._gate.on_frames(frames)
        passed = [self._gate.passes() for _ in windows]
        return np.array(passed, bool), [
            window for window, passes in zip(windows, passed, strict=True) if passes
        ]


class SileroDetector:
    """Silero on all streams at once, after a gate or without one; a closed gate scores 0."""

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
        """Push samples to each detector; return the scores of the windows that they complete.

        A detector may occur once in a call.
        """
        pushed = self._push(work)
        scores = [np.zeros(len(passed), np.float32) for passed, _ in pushed]
        busy = [index for index, (_, windows) in enumerate(pushed) if windows]
        if busy:
            detectors = [work[index][0] for index in busy]
            probabilities = self._probabilities(detectors, [pushed[index][1] for index in busy])
            for index, probability in zip(busy, probabilities, strict=True):
                scores[index][pushed[index][0]] = probability
        return scores

    def _push(
        self, work: Sequence[tuple[SileroWindows, Int16Array]]
    ) -> list[tuple[npt.NDArray[np.bool_], list[Int16Array]]]:
        """Return which of the windows that each detector completes pass, and those that do."""
        pushed = [detector.push(samples) for detector, samples in work]
        windows = amplify([each for each, _ in pushed])
        frames = amplify([each for _, each in pushed])
        return [
            detector.select(*found)
            for (detector, _), *found in zip(work, windows, frames, strict=True)
        ]

    def _probabilities(
        self, detectors: Sequence[SileroWindows], windows: Sequence[list[Int16Array]]
    ) -> list[Float32Array]:
        counts = [len(stream) for stream in windows]
        probabilities, states = self._network.score(
            _clips(detectors, windows), counts, np.stack([each.state for each in detectors])
        )
        for detector, state in zip(detectors, states, strict=True):
            detector.state = state.copy()  # a view would keep the states of all streams alive
        return np.split(probabilities, np.cumsum(counts)[:-1])


def load(kind: Detector) -> SpeechScorer:
    """Return the scorer of a kind of detector, with its weights loaded."""
    match kind:
        case Detector.WEBRTC:
            return WebrtcDetector()
        case Detector.SILERO:
            return SileroDetector(gated=False)
        case Detector.CASCADE:
            return SileroDetector(gated=True)


def _clips(detectors: Sequence[SileroWindows], windows: Sequence[list[Int16Array]]) -> Float32Array:
    """Return all windows at 16 kHz, [N, 576]; those of one rate and length share a resampling."""
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
