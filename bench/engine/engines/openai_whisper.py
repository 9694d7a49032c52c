"""openai-whisper, the reference: its own functions on padded clips, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from whisper import DecodingOptions, log_mel_spectrogram, pad_or_trim, transcribe
from whisper.audio import HOP_LENGTH
from whisper.decoding import DecodingResult, decode
from whisper.model import Whisper
from whisper.timing import find_alignment, merge_punctuations
from whisper.tokenizer import get_tokenizer

from bench.engine.engines.catalog import EngineText, Variant, Weights
from consumer.core.audio.utterance import Float32Array
from consumer.core.text.hypothesis import TimedWord
from consumer.inference.checkpoint import load as load_checkpoint

OPENING: Final = "\"'“¿([{-"  # openai-whisper's defaults, which it keeps in a signature
CLOSING: Final = "\"'.。,，!！?？:：”)]}、"


class OpenAIWhisper:
    """Text by `whisper.decode`; words as its users get them, by `transcribe`, or `aligned`.

    `transcribe(word_timestamps=True)` decodes with timestamps, so its text may differ. `aligned`
    words are openai-whisper's alignment of the text that it decodes without timestamps.
    """

    def __init__(self, model: Whisper, *, aligned: bool) -> None:
        self._model = model
        self._with_words = self._aligned if aligned else self._transcribed

    def transcribe(
        self, clips: Sequence[Float32Array], languages: Sequence[str], *, words: bool
    ) -> list[EngineText]:
        write = self._with_words if words else self._plain
        return [write(clip, language) for clip, language in zip(clips, languages, strict=True)]

    def _plain(self, clip: Float32Array, language: str) -> EngineText:
        return EngineText(self._decode(self._mel(clip), language).text)

    def _mel(self, clip: Float32Array) -> Tensor:
        mel: Tensor = log_mel_spectrogram(pad_or_trim(clip), self._model.dims.n_mels)
        return mel

    def _decode(self, mel: Tensor, language: str) -> DecodingResult:
        options = DecodingOptions(language=language, without_timestamps=True, fp16=False)
        return decode(self._model, mel, options)

    def _transcribed(self, clip: Float32Array, language: str) -> EngineText:
        found = transcribe(
            self._model,
            clip,
            language=language,
            word_timestamps=True,
            temperature=0.0,
            condition_on_previous_text=False,
            compression_ratio_threshold=None,
            logprob_threshold=None,
            no_speech_threshold=None,
            fp16=False,
        )
        words = (word for segment in found["segments"] for word in segment["words"])
        timed = (TimedWord(w["word"], w["start"], w["end"], w["probability"]) for w in words)
        return EngineText(found["text"].strip(), tuple(timed))

    def _aligned(self, clip: Float32Array, language: str) -> EngineText:
        mel = self._mel(clip)
        decoded = self._decode(mel, language)
        tokenizer = get_tokenizer(
            self._model.is_multilingual,
            num_languages=self._model.num_languages,
            language=language,
            task="transcribe",
        )
        frames = len(clip) // HOP_LENGTH
        timings = find_alignment(self._model, tokenizer, decoded.tokens, mel, frames)
        merge_punctuations(timings, OPENING, CLOSING)
        words = (
            TimedWord(t.word, float(t.start), float(t.end), float(t.probability))
            for t in timings
            if t.word
        )
        return EngineText(decoded.text, tuple(words))


def load(weights: Weights, _variant: Variant) -> OpenAIWhisper:
    return OpenAIWhisper(_load_model(weights), aligned=False)


def load_aligned(weights: Weights, _variant: Variant) -> OpenAIWhisper:
    return OpenAIWhisper(_load_model(weights), aligned=True)


def _load_model(weights: Weights) -> Whisper:
    """Load the weights into openai-whisper's own model, fp32, on the processor."""
    checkpoint = load_checkpoint(weights.path)
    dims = checkpoint.dims
    model = Whisper(dims)
    model.load_state_dict(checkpoint.state)
    heads = torch.zeros(dims.n_text_layer, dims.n_text_head, dtype=torch.bool)
    for layer, head in checkpoint.alignment_heads:
        heads[layer, head] = True
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return model.eval()
