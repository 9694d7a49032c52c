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

from bench.engines.catalog import Heard, Variant, Weights
from consumer.core.audio.utterance import Float32Array
from consumer.core.text.hypothesis import TimedWord
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.checkpoint import load as load_checkpoint

OPENING: Final = "\"'“¿([{-"  # openai-whisper's defaults, which it keeps in a signature
CLOSING: Final = "\"'.。,，!！?？:：”)]}、"


class OpenAIWhisper:
    """Text by `whisper.decode`; words, if asked for, as its users get them: by `transcribe`.

    `transcribe(word_timestamps=True)` decodes with timestamps, so the text may be another one.
    """

    def __init__(self, model: Whisper) -> None:
        self._model = model

    def transcribe(
        self, clips: Sequence[Float32Array], languages: Sequence[str], *, words: bool
    ) -> list[Heard]:
        hear = self._words if words else self._text
        return [hear(clip, language) for clip, language in zip(clips, languages, strict=True)]

    def _text(self, clip: Float32Array, language: str) -> Heard:
        return Heard(self._decode(self._mel(clip), language).text)

    def _mel(self, clip: Float32Array) -> Tensor:
        mel: Tensor = log_mel_spectrogram(pad_or_trim(clip), self._model.dims.n_mels)
        return mel

    def _decode(self, mel: Tensor, language: str) -> DecodingResult:
        options = DecodingOptions(language=language, without_timestamps=True, fp16=False)
        return decode(self._model, mel, options)

    def _words(self, clip: Float32Array, language: str) -> Heard:
        told = transcribe(
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
        timed = (
            TimedWord(word["word"], word["start"], word["end"], word["probability"])
            for segment in told["segments"]
            for word in segment["words"]
        )
        return Heard(told["text"].strip(), tuple(timed))


class Aligned(OpenAIWhisper):
    """Words by openai-whisper's own alignment of the text that it decodes without timestamps."""

    def _words(self, clip: Float32Array, language: str) -> Heard:
        mel = self._mel(clip)
        decoded = self._decode(mel, language)
        multilingual = self._model.is_multilingual
        tokenizer = get_tokenizer(
            multilingual,
            num_languages=self._model.num_languages,
            language=language,
            task="transcribe",
        )
        timings = find_alignment(
            self._model, tokenizer, decoded.tokens, mel, len(clip) // HOP_LENGTH
        )
        merge_punctuations(timings, OPENING, CLOSING)
        timed = (
            TimedWord(t.word, float(t.start), float(t.end), float(t.probability))
            for t in timings
            if t.word
        )
        return Heard(decoded.text, tuple(timed))


def model_of(checkpoint: Checkpoint) -> Whisper:
    """openai-whisper's own model with these weights, fp32, on the processor."""
    dims = checkpoint.dims
    model = Whisper(dims)
    model.load_state_dict(checkpoint.state)
    heads = torch.zeros(dims.n_text_layer, dims.n_text_head, dtype=torch.bool)
    for layer, head in checkpoint.alignment_heads:
        heads[layer, head] = True
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return model.eval()


def plain(weights: Weights, _variant: Variant) -> OpenAIWhisper:
    return OpenAIWhisper(model_of(load_checkpoint(weights.path)))


def aligned(weights: Weights, _variant: Variant) -> Aligned:
    return Aligned(model_of(load_checkpoint(weights.path)))
