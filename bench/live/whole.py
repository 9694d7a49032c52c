"""What the same engine writes when it is given each clip whole, by itself: what live is held to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.decoding import decoded
from bench.live.programme import Spoken
from bench.progress import Advance
from consumer.core.audio.samples import to_float
from consumer.core.audio.utterance import Int16Array, Speech
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.chinese import prompt
from consumer.engine.local import Transcriber
from consumer.inference.device import set_threads
from consumer.model_loading import load_transcriber
from consumer.settings import Settings
from schemas.audio import Task


def whole_texts(
    model: Path, dtype: str, threads: int, clips: Iterable[Spoken], advance: Advance
) -> dict[str, str]:
    """By name of the clip; loads the model."""
    set_threads(threads)
    transcriber = load_transcriber(Settings(model=str(model), dtype=dtype))
    return texts_of(transcriber, clips, advance)


def texts_of(transcriber: Transcriber, clips: Iterable[Spoken], advance: Advance) -> dict[str, str]:
    """By name of the clip."""
    named = {clip.name: clip_of(clip.samples, clip.language) for clip in clips}
    hypotheses = decoded(transcriber, [*named.values()], advance, "whole clips")
    return dict(zip(named, (each.text for each in hypotheses), strict=True))


def clip_of(samples: Int16Array, language: str, speech: Speech | None = None) -> DecodeRequest:
    """[n] at WHISPER_RATE; the prompt is that of live streams."""
    given = prompt(language, None, Task.TRANSCRIBE)
    return DecodeRequest(to_float(samples), (language,), speech=speech, prompt=given, words=True)
