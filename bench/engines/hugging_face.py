"""transformers' Whisper: `generate` on padded clips, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor
from transformers import WhisperForConditionalGeneration as Whisper

from bench.engines.catalog import Heard, Variant, Weights
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array
from consumer.inference.device import DTYPES, RequestedDtype


class HuggingFace:
    """With words it computes the times of tokens, and leaves joining them to its caller."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._features = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def transcribe(
        self, clips: Sequence[Float32Array], languages: Sequence[str], *, words: bool
    ) -> list[Heard]:
        made = self._features(
            list(clips),
            sampling_rate=WHISPER_RATE,
            return_tensors="pt",
            return_attention_mask=True,
        )
        told = self._model.generate(
            made.input_features.to(self._model.dtype),
            attention_mask=made.attention_mask,
            num_beams=1,
            do_sample=False,
            return_timestamps=False,
            return_token_timestamps=words,
            **self._spoken(languages),
        )
        tokens = told["sequences"] if words else told
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [Heard(text.strip()) for text in texts]

    def _spoken(self, languages: Sequence[str]) -> dict[str, object]:
        """An English-only model takes no language."""
        if not self._model.generation_config.is_multilingual:
            return {}
        return {"language": list(languages), "task": "transcribe"}


def load(weights: Weights, variant: Variant) -> HuggingFace:
    assert weights.hugging_face is not None
    dtype = DTYPES[RequestedDtype(variant.dtype)]
    model = Whisper.from_pretrained(weights.hugging_face, dtype=dtype).eval()  # type: ignore[no-untyped-call]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(weights.hugging_face)
    return HuggingFace(model, tokenizer)
