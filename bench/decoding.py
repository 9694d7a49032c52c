"""Many clips through a transcriber, as the worker does it, in batches of about one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench.progress import Advance
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.missing_speech import transcribed
from consumer.engine.local import Transcriber

_BATCH: Final = 8


def decoded(
    transcriber: Transcriber, clips: Sequence[DecodeRequest], advance: Advance, what: str
) -> list[Hypothesis]:
    """One a clip, in order; `advance` is told seconds of audio, and `what` they are."""
    order = sorted(range(len(clips)), key=lambda index: len(clips[index].samples))
    found: dict[int, Hypothesis] = {}
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        written = transcribed([clips[at] for at in batch], transcriber.transcribe)
        found |= zip(batch, written, strict=True)
        advance(sum(len(clips[at].samples) for at in batch) / WHISPER_RATE, what)
    return [found[index] for index in range(len(clips))]
