"""What the same engine writes when it is given each clip whole, by itself: what live is held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bench.live.programme import Spoken
from bench.progress import Advance
from consumer.core.chinese import prompt
from consumer.core.pcm import to_float
from consumer.core.values import WHISPER_RATE, Clip
from consumer.engine import Transcriber
from consumer.inference.device import set_threads
from consumer.service import load_transcriber
from consumer.settings import Settings
from schemas.audio import Task

_BATCH: Final = 8


def whole_texts(
    model: Path, dtype: str, threads: int, clips: Iterable[Spoken], advance: Advance
) -> dict[str, str]:
    """By name of the clip; loads the model. Prompt and language are those of the live streams."""
    set_threads(threads)
    transcriber = load_transcriber(Settings(model=str(model), dtype=dtype))
    ordered = sorted({clip.name: clip for clip in clips}.values(), key=lambda c: len(c.samples))
    texts: dict[str, str] = {}
    for at in range(0, len(ordered), _BATCH):
        batch = ordered[at : at + _BATCH]
        texts |= zip((clip.name for clip in batch), _decoded(transcriber, batch), strict=True)
        advance(sum(len(clip.samples) for clip in batch) / WHISPER_RATE, "whole clips")
    return texts


def _decoded(transcriber: Transcriber, clips: Sequence[Spoken]) -> list[str]:
    asked = [
        Clip(
            to_float(clip.samples),
            (clip.language,),
            prompt=prompt(clip.language, None, Task.TRANSCRIBE),
            words=True,
        )
        for clip in clips
    ]
    return [hypothesis.text for hypothesis in transcriber.transcribe(asked)]
