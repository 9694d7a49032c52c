"""Clips transcribed with one attempt a call, as the service does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis
from consumer.inference.whisper_engine import WhisperTranscriber


def one_attempt_a_call(
    engine: WhisperTranscriber, clips: Sequence[DecodeRequest]
) -> tuple[list[Hypothesis], list[int]]:
    """Return the last text of each clip, and the number of clips in each call."""
    texts: dict[int, Hypothesis] = {}
    waiting = {at: replace(clip, once=True) for at, clip in enumerate(clips)}
    calls = []
    while waiting:
        calls.append(len(waiting))
        texts |= zip(waiting, engine.transcribe([*waiting.values()]), strict=True)
        rejected = {at: clip for at, clip in waiting.items() if texts[at].earlier}
        waiting = {at: replace(clip, earlier=texts[at].earlier) for at, clip in rejected.items()}
    return [texts[at] for at in range(len(clips))], calls


def essence(text: Hypothesis) -> tuple[object, ...]:
    """Return the parts of a hypothesis that do not depend on the batch."""
    return text.tokens, text.language, text.temperature, text.folded, text.words is None
