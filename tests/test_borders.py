"""Cuts of the real detector lose and repeat no speech and no word, wherever the stream begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from stream_harness import OneStream

from bench.live.clips import silero
from bench.live.text_errors import cut_errors
from bench.quality.decoding import clip_request, decoded
from bench.quality.recordings import read
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import (
    WHISPER_RATE,
    EndReason,
    Float32Array,
    Int16Array,
    Utterance,
)
from consumer.core.streams.entries import ScoreRequest
from consumer.detection import cascade
from consumer.engine.transcriber_thread import Transcriber
from consumer.model_loading import load_transcriber
from consumer.settings import Detector, Settings
from evaluation.samples import SAMPLES, load_samples
from evaluation.scoring import tokens

OFFSETS_MS: Final = range(0, 1000, 100)
CLIPS: Final = ("en_jfk.flac", "en_ljspeech.flac", "zh_aishell_subsidy.flac")
SCORER: Final = cascade.load(Detector.CASCADE)
PAUSED = SCORER.segmenter
ENGLISH: Final = CLIPS[:2]
FORCED = replace(PAUSED, max_utterance_ms=5_000)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def talk() -> Int16Array:
    """32 s of speech."""
    return np.concatenate([read(SAMPLES / name) for name in CLIPS])


@pytest.fixture(scope="module")
def speech(talk: Int16Array) -> tuple[tuple[int, int], ...]:
    """The spans of speech in `talk` as silero-vad's own offline segmenter finds them."""
    return silero()(talk)


@pytest.fixture(scope="module")
def transcriber(base_weights: Path) -> Transcriber:
    return load_transcriber(Settings(model=str(base_weights), dtype="fp32"))


def silence(ms: int) -> Int16Array:
    return np.zeros(ms * WHISPER_RATE // 1000, np.int16)


def cut(sound: Int16Array, segmenter: SegmenterConfig) -> list[Utterance]:
    """Return the utterances that a stream cuts from the samples, sent in chunks of 100 ms."""
    stream = OneStream(segmenter=segmenter, score=score)
    stream.speak(sound)
    stream.send(silence(0), end=True)
    return stream.utterances


def score(request: ScoreRequest) -> Float32Array:
    if request.vad.detector is None:
        request.vad.detector = SCORER.open(request.rate)
    [scores] = SCORER.score([(request.vad.detector, request.samples)])
    return scores


@pytest.mark.parametrize("offset_ms", OFFSETS_MS)
@pytest.mark.parametrize(
    ("segmenter", "reason"), [(PAUSED, EndReason.SILENCE), (FORCED, EndReason.MAX_LENGTH)]
)
def test_every_sample_of_speech_is_in_exactly_one_utterance(
    talk: Int16Array,
    speech: tuple[tuple[int, int], ...],
    segmenter: SegmenterConfig,
    reason: EndReason,
    offset_ms: int,
) -> None:
    lead = silence(offset_ms)
    sound = np.concatenate([lead, talk])
    utterances = cut(sound, segmenter)
    assert [each.end_reason for each in utterances].count(reason) > 2
    covered = np.zeros(len(sound), int)
    for each in utterances:
        assert np.array_equal(each.samples, sound[each.start : each.end])
        covered[each.start : each.end] += 1
    assert covered.max() == 1
    for start, end in speech:
        assert covered[len(lead) + start : len(lead) + end].all(), (start, end)


def test_no_word_is_lost_or_repeated_between_two_finals(transcriber: Transcriber) -> None:
    samples = [sample for sample in load_samples(SAMPLES) if sample.path.name in ENGLISH]
    sound = np.concatenate([read(sample.path) for sample in samples])
    reference = tokens(" ".join(sample.reference for sample in samples), "en")
    streams = [cut(np.concatenate([silence(ms), sound]), PAUSED) for ms in OFFSETS_MS]
    assert min(map(len, streams)) > 2
    clips = [clip_request(each.samples, "en") for stream in streams for each in stream]
    texts = iter(decoded(transcriber, clips, lambda _, __: None, "as cut"))
    for stream in streams:
        pieces = [tokens(next(texts).text, "en") for _ in stream]
        found = cut_errors(reference, reference, pieces, range(len(pieces) - 1))
        assert (found.lost, found.doubled) == (0, 0), pieces
