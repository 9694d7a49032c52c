"""Recordings cut into utterances as the worker cuts a stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import soundfile
import soxr

from consumer.core.audio.samples import from_float
from consumer.core.audio.segmenter import Cut, Segmenter, SegmenterConfig
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Int16Array, Utterance
from consumer.detection.detector_thread import SpeechScorer

_PORTION_S = 0.5  # scored at once: little is scored again behind a cut


def read(path: Path) -> Int16Array:
    """A recording's samples at WHISPER_RATE, mono."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return from_float(soxr.resample(sound.mean(axis=1), rate, WHISPER_RATE))


def utterances(
    samples: Int16Array, rate: int, scorer: SpeechScorer, config: SegmenterConfig
) -> Iterator[Utterance]:
    """All that the detector hears in [n] mono samples, in order."""
    at, number, in_speech = 0, 0, False
    while at < len(samples):
        rest = samples[at:]
        cut = _next_cut(rest, rate, scorer, Segmenter(config, rate, in_speech=in_speech))
        if (span := cut.span) is not None:
            yield Utterance(
                number=number,
                start=at + span.start,
                end=at + span.end,
                speech_end=at + span.speech_end,
                rate=rate,
                samples=rest[span.start : span.end],
                end_reason=span.reason,
                speech=span.speech,
            )
            number += 1
        at += cut.at
        in_speech = cut.in_speech


def _next_cut(rest: Int16Array, rate: int, scorer: SpeechScorer, segmenter: Segmenter) -> Cut:
    detector = scorer.open(rate)
    step = round(_PORTION_S * rate)
    for start in range(0, len(rest), step):
        [scores] = scorer.score([(detector, rest[start : start + step])])
        if (cut := segmenter.push(scores)) is not None:
            return cut
    return segmenter.close(len(rest), EndReason.END_OF_STREAM)
