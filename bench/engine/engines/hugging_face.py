"""transformers' Whisper: `generate` on padded clips, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    PreTrainedTokenizerFast,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from bench.engine.engines.catalog import EngineText, Variant, Weights
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array
from consumer.inference.device import DTYPES, RequestedDtype


class HuggingFaceWhisper:
    """With words it computes the times of tokens; joining these to words is left to its users."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._features = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def transcribe(
        self, clips: Sequence[Float32Array], languages: Sequence[str], *, words: bool
    ) -> list[EngineText]:
        features = self._features(
            list(clips),
            sampling_rate=WHISPER_RATE,
            return_tensors="pt",
            return_attention_mask=True,
        )
        generated = self._model.generate(
            features.input_features.to(self._model.dtype),
            attention_mask=features.attention_mask,
            num_beams=1,
            do_sample=False,
            return_timestamps=False,
            return_token_timestamps=words,
            **self._task(languages),
        )
        tokens = generated["sequences"] if words else generated
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [EngineText(text.strip()) for text in texts]

    def _task(self, languages: Sequence[str]) -> dict[str, object]:
        """Return language and task; an English-only model accepts neither."""
        if not self._model.generation_config.is_multilingual:
            return {}
        return {"language": list(languages), "task": "transcribe"}


def load(weights: Weights, variant: Variant) -> HuggingFaceWhisper:
    assert weights.hugging_face is not None
    dtype = DTYPES[RequestedDtype(variant.dtype)]
    model: Any = WhisperForConditionalGeneration.from_pretrained(weights.hugging_face, dtype=dtype)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(weights.hugging_face)
    return HuggingFaceWhisper(model.eval(), tokenizer)
