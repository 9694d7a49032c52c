"""Recordings cut into utterances by the worker's own session."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.quality.recordings import MANIFEST, RECIPES, entries, read
from consumer.core.audio.utterance import (
    WHISPER_RATE,
    EndReason,
    Float32Array,
    Int16Array,
    Utterance,
)
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Partition, SessionKey
from consumer.core.streams.session import Session, SessionStart
from consumer.core.streams.timeline import AudioSegment
from consumer.detection import cascade
from consumer.detection.detector_thread import SpeechScorer
from consumer.settings import Detector
from schemas.audio import StreamOptions

_CHUNK: Final = WHISPER_RATE // 2  # samples scored at once: little is scored again after a cut
_START: Final = SessionStart(
    key=SessionKey(Partition("recordings", 0), "recording", "0"),
    first=0,
    wall_ms=0.0,
    rate=WHISPER_RATE,
    channels=1,
    options=StreamOptions(),
    problems=(),
    traceparent=None,
)


def utterances(samples: Int16Array, scorer: SpeechScorer) -> Iterator[Utterance]:
    """Yield the utterances in [n] mono samples at WHISPER_RATE, in order."""
    session = Session.start(_START, scorer.segmenter)
    for start in range(0, len(samples), _CHUNK):
        chunk = samples[start : start + _CHUNK]
        session.append(AudioSegment(chunk, start, offset=0, wall_ms=0.0, appended_ms=0))
        while (request := session.score_request()) is not None:
            cut = session.on_scores(_scores(request, scorer))
            if cut is not None and (pending := session.apply(cut)) is not None:
                yield pending.utterance
    if (pending := session.apply(session.close_utterance(EndReason.END_OF_STREAM))) is not None:
        yield pending.utterance


def _scores(request: ScoreRequest, scorer: SpeechScorer) -> Float32Array:
    vad = request.vad
    if vad.detector is None:
        vad.detector = scorer.open(request.rate, vad.lead_in)
    [scores] = scorer.score([(vad.detector, request.samples)])
    return scores


def utterance_lengths(folder: Path) -> list[float]:
    """Return the lengths, ascending, of all utterances in the clips and recipes of a folder."""
    scorer = cascade.load(Detector.CASCADE)
    clips = (read(folder / entry["file"]) for entry in entries(folder / MANIFEST))
    long = (_joined(folder, recipe) for recipe in entries(folder / RECIPES))
    found = (each for samples in chain(clips, long) for each in utterances(samples, scorer))
    return sorted(round(each.seconds, 2) for each in found)


def _joined(folder: Path, recipe: dict[str, Any]) -> Int16Array:
    pause = np.zeros(round(recipe["gap_seconds"] * WHISPER_RATE), np.int16)
    return np.concatenate([x for part in recipe["parts"] for x in (read(folder / part), pause)])
