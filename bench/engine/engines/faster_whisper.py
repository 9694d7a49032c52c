"""faster-whisper as it is used on clips: one `transcribe` each, greedy.

Its BatchedInferencePipeline batches the pieces of one long recording, not separate clips.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from faster_whisper import WhisperModel

from bench.engine.engines.catalog import EngineText, Variant, Weights
from consumer.core.audio.utterance import Float32Array
from consumer.core.text.hypothesis import TimedWord


class FasterWhisper:
    def __init__(self, model: WhisperModel) -> None:
        self._model = model

    def transcribe(
        self, clips: Sequence[Float32Array], languages: Sequence[str], *, words: bool
    ) -> list[EngineText]:
        return [
            self._transcribe(clip, language, words=words)
            for clip, language in zip(clips, languages, strict=True)
        ]

    def _transcribe(self, clip: Float32Array, language: str, *, words: bool) -> EngineText:
        lazy, _ = self._model.transcribe(
            clip,
            language=language,
            beam_size=1,
            best_of=1,
            temperature=0.0,
            condition_on_previous_text=False,
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
            without_timestamps=not words,
            word_timestamps=words,
        )
        segments = list(lazy)
        timed = tuple(
            TimedWord(word.word, float(word.start), float(word.end), float(word.probability))
            for segment in segments
            for word in segment.words or ()
        )
        text = "".join(segment.text for segment in segments).strip()
        return EngineText(text, timed if words else None)


def load(weights: Weights, variant: Variant) -> FasterWhisper:
    assert weights.ctranslate2 is not None
    return FasterWhisper(
        WhisperModel(
            str(weights.ctranslate2),
            device="cpu",
            compute_type=variant.dtype,
            cpu_threads=torch.get_num_threads(),
        )
    )
