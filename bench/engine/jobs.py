"""Jobs of the engine without a pipeline: utterances, each of a stream of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from consumer.core.audio.samples import FULL_SCALE
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Int16Array, Speech, Utterance
from consumer.core.scheduling.jobs import Batch, DecodeRequest, Job, JobKind
from consumer.core.streams.records import Lane, Partition, SessionKey, UtteranceId
from schemas.audio import StreamOptions, Task

_PARTITION: Final = Partition("speech.audio.v1", 0)
_OPTIONS: Final = StreamOptions(task=Task.TRANSCRIBE, words=True, partials=False, endpoint_ms=500)


def job(
    samples: Int16Array,
    number: int,
    closed_at: float,
    within_s: float,
    *,
    lane: Lane = Lane.LIVE,
    language: str = "en",
) -> Job:
    """Return the final of the only utterance of stream `number`, due `within_s` after its end."""
    length = len(samples)
    utterance = Utterance(
        number=0,
        start=0,
        end=length,
        speech_end=length,
        rate=WHISPER_RATE,
        samples=samples,
        end_reason=EndReason.SILENCE,
        speech=Speech(1.0, 1.0, 1.0),
    )
    return Job(
        id=UtteranceId(SessionKey(_PARTITION, f"stream-{number}", "0-0"), 0),
        epoch=1,
        kind=JobKind.FINAL,
        lane=lane,
        closed_at=closed_at,
        deadline=closed_at + within_s,
        utterance=utterance,
        options=replace(_OPTIONS, languages=(language,)),
    )


def batch(clips: Sequence[DecodeRequest]) -> Batch:
    """Return the clips as one batch."""
    return Batch(tuple(job(recorded(clip), at, 0.0, 0.5) for at, clip in enumerate(clips)))


def recorded(clip: DecodeRequest) -> Int16Array:
    """Return the samples as a recording has them."""
    return (clip.samples * (FULL_SCALE - 1)).astype(np.int16)
