from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.core.audio.gain import amplify
from consumer.core.audio.samples import from_float, to_float
from consumer.core.audio.segmenter import Segmenter, UtteranceSpan
from consumer.core.audio.utterance import EndReason, Float32Array, Int16Array
from consumer.core.audio.windows import window_at, window_start
from consumer.detection.cascade import (
    SileroDetector,
    WebrtcDetector,
    WebrtcFrames,
    WebrtcGate,
    load,
)
from consumer.detection.detector_thread import SpeechScorer
from consumer.settings import Detector

SAMPLES = Path(__file__).parents[3] / "samples"
CLIPS = [
    json.loads(line)["file"]
    for line in (SAMPLES / "manifest.jsonl").read_text("utf-8").splitlines()
]
RATE = 16_000
SCORERS: dict[Detector, SpeechScorer] = {kind: load(kind) for kind in Detector}


pytestmark = pytest.mark.usefixtures("one_thread")


def speech(name: str = "en_jfk.flac") -> Int16Array:
    samples, _ = soundfile.read(SAMPLES / name, dtype="int16")
    return samples


def resampled(samples: Int16Array, rate: int) -> Int16Array:
    return np.clip(soxr.resample(samples.astype(float), RATE, rate), -32_768, 32_767).astype("i2")


def pieces(samples: Int16Array, sizes: list[int]) -> Iterator[Int16Array]:
    while len(samples):
        for size in sizes:
            yield samples[:size]
            samples = samples[size:]


def scores(
    scorer: SpeechScorer, samples: Int16Array, rate: int, sizes: list[int] | None = None
) -> Float32Array:
    detector = scorer.open(rate)
    parts = [samples] if sizes is None else pieces(samples, sizes)
    return np.concatenate([scorer.score([(detector, part)])[0] for part in parts])


def utterances(scorer: SpeechScorer, samples: Int16Array, rate: int) -> list[UtteranceSpan]:
    spans: list[UtteranceSpan] = []
    here, in_speech = 0, False
    while here < len(samples):
        segmenter = Segmenter(scorer.segmenter, rate, in_speech=in_speech)
        cut = segmenter.push(scores(scorer, samples[here:], rate))
        cut = cut or segmenter.close(len(samples) - here, EndReason.END_OF_STREAM)
        spans += filter(None, [cut.span])
        here, in_speech = here + cut.at, cut.in_speech
    return spans


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS.keys())
@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100])
def test_every_whole_window_is_scored_once(scorer: SpeechScorer, rate: int):
    audio = resampled(speech()[: 2 * RATE], rate)
    probabilities = scores(scorer, audio, rate, [rate // 10])
    assert len(probabilities) == window_at(len(audio), scorer.segmenter.window_ms, rate)
    assert probabilities.dtype == np.float32
    assert probabilities.max() > 0.9
    assert probabilities.min() >= 0


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS.keys())
@settings(max_examples=8, deadline=None)
@given(sizes=st.lists(st.integers(1, 9_000), min_size=1, max_size=4).filter(lambda x: sum(x) > 500))
def test_scores_do_not_depend_on_the_chunking(scorer: SpeechScorer, sizes: list[int]):
    audio = speech()[: 3 * RATE]
    once, again = scores(scorer, audio, RATE), scores(scorer, audio, RATE, sizes)
    assert np.allclose(once, again, atol=1e-4)


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS.keys())
def test_streams_of_different_rates_are_scored_in_one_call(scorer: SpeechScorer):
    streams = [
        (rate, resampled(speech(name)[: int(seconds * RATE)], rate))
        for name, rate, seconds in [
            ("en_jfk.flac", 16_000, 2),
            ("en_ljspeech.flac", 8_000, 3.3),
            ("en_jfk.flac", 44_100, 1),
            ("en_jfk.flac", 16_000, 0.01),
            ("en_ljspeech.flac", 16_000, 0),
        ]
    ]
    together = scorer.score([(scorer.open(rate), audio) for rate, audio in streams])
    for part, (rate, audio) in zip(together, streams, strict=True):
        assert np.allclose(part, scores(scorer, audio, rate), atol=1e-4)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("kind", [Detector.SILERO, Detector.WEBRTC])
def test_decisions_at_other_rates_are_nearly_the_same(kind: Detector, rate: int):
    scorer = SCORERS[kind]
    expected = scores(scorer, speech(), RATE)
    found = scores(scorer, resampled(speech(), rate), rate)
    count = min(len(expected), len(found))
    assert np.mean((expected[:count] >= 0.5) == (found[:count] >= 0.5)) > 0.93


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050])
def test_the_gate_is_open_inside_speech_and_300_ms_after_it(rate: int):
    pause = np.zeros(RATE, np.int16)
    audio = resampled(np.concatenate((pause, speech()[:RATE], pause, speech()[:RATE])), rate)
    webrtc = WebrtcFrames(rate)
    frames = webrtc.speech(*amplify([webrtc.push(audio)]))
    ends = [window_start(index + 1, 20, rate) for index, voiced in enumerate(frames) if voiced]

    gate, passed = WebrtcGate(rate), []
    gate.on_frames(*amplify([gate.push(audio)]))
    for index in range(window_at(len(audio), 32, rate)):
        start, end = (window_start(index + step, 32, rate) for step in (0, 1))
        expected = any(start - 300 * rate // 1000 < voiced <= end for voiced in ends)
        passed.append(gate.passes())
        assert passed[-1] == expected
    assert {True, False} == set(passed)


def test_a_closed_gate_scores_zero_and_keeps_the_state():
    scorer = SileroDetector(gated=True)
    detector = scorer.open(RATE)
    scorer.score([(detector, speech()[: 2 * RATE]), (scorer.open(RATE), speech()[:RATE])])
    scorer.score([(detector, np.zeros(RATE // 2, np.int16))])
    state = detector.state
    (silence,) = scorer.score([(detector, np.zeros(RATE, np.int16))])
    assert not silence.any()
    assert detector.state is state
    (again,) = scorer.score([(detector, speech()[: 2 * RATE])])
    assert again.max() > 0.9


@pytest.mark.parametrize("kind", [Detector.CASCADE, Detector.SILERO])
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_a_detector_opened_with_the_audio_before_scores_as_without_a_cut(
    kind: Detector, rate: int
) -> None:
    scorer = SCORERS[kind]
    whole = resampled(speech()[: 8 * RATE], rate)
    expected = scores(scorer, whole, rate)
    for window in range(40, len(expected) - 60, 20):
        cut = window_start(window, scorer.segmenter.window_ms, rate)
        detector = scorer.open(rate, whole[max(0, cut - rate) : cut])
        (found,) = scorer.score([(detector, whole[cut : cut + 2 * rate])])
        assert np.mean(abs(found - expected[window : window + len(found)])) < 0.1


def test_a_window_has_the_audio_before_it_as_context_after_a_closed_gate_too():
    audio = np.concatenate((np.zeros(RATE, np.int16), speech()[:RATE]))
    detector = SileroDetector(gated=True).open(RATE)
    passed, windows = detector.select(*amplify(detector.push(audio)))
    first = int(np.flatnonzero(passed)[0])
    assert first > 0
    expected = audio[first * 512 - 64 : first * 512 + 512]
    assert np.corrcoef(windows[0], expected)[0, 1] > 0.999  # the gain differs


@pytest.mark.parametrize("kind", [Detector.CASCADE, Detector.SILERO])
@pytest.mark.parametrize(
    "noise",
    [
        np.zeros(10 * RATE),
        np.random.default_rng(0).normal(0, 1_500, 10 * RATE),
        np.sin(np.arange(10 * RATE) * (2 * np.pi * 440 / RATE)) * 9_000,
    ],
    ids=["silence", "white noise", "tone"],
)
def test_noise_makes_no_utterance(kind: Detector, noise: np.ndarray):
    assert utterances(SCORERS[kind], noise.astype(np.int16), RATE) == []


@pytest.mark.parametrize("name", CLIPS)
def test_every_sample_clip_is_cut_into_utterances_of_speech(name: str):
    samples, rate = soundfile.read(SAMPLES / name, dtype="int16")
    spans = utterances(SCORERS[Detector.CASCADE], samples, rate)
    assert spans
    assert sum(span.end - span.start for span in spans) > 0.7 * len(samples)
    assert all(span.end - span.start <= 15 * rate for span in spans)


@pytest.mark.parametrize(
    ("kind", "window_ms", "onset"),
    [
        (Detector.CASCADE, 32, (2, 3)),
        (Detector.SILERO, 32, (2, 3)),
        (Detector.WEBRTC, 20, (8, 10)),
    ],
)
def test_a_scorer_has_the_segmenter_settings_of_its_scores(
    kind: Detector, window_ms: int, onset: tuple[int, int]
):
    segmenter = SCORERS[kind].segmenter
    assert (segmenter.window_ms, segmenter.onset_windows) == (window_ms, onset)


@pytest.mark.parametrize("name", ["en_jfk.flac", "zh_aishell_subsidy.flac"])
@pytest.mark.parametrize("db", [-20, -30, -40])
def test_quiet_speech_is_found_as_loud_speech_is(name: str, db: int):
    scorer, samples = SCORERS[Detector.CASCADE], speech(name)
    quiet = from_float(to_float(samples) * np.float32(10 ** (db / 20)))
    expected, found = (
        sum(span.end - span.start for span in utterances(scorer, each, RATE))
        for each in (samples, quiet)
    )
    assert found == pytest.approx(expected, rel=0.05)


def test_webrtc_loads_no_network():
    assert isinstance(load(Detector.WEBRTC), WebrtcDetector)
