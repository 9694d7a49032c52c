"""Streamscribe's own engine, greedy."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bench.engines.catalog import Heard, Variant, Weights
from consumer.core.audio.utterance import Float32Array
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.fallback import fallback_steps
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.checkpoint import load as load_checkpoint
from consumer.inference.device import Device, choose
from consumer.inference.fold import Folding, folded
from consumer.inference.whisper_engine import WhisperTranscriber
from consumer.process_tuning import retain_memory

MAX_ROWS = 256  # of one batch; what a bench asks for goes through the model together


class Ours:
    """Takes the first attempt's text whatever it is: a fallback would hide what is compared.

    With `again`, of a fold, a text that cannot be trusted is decoded padded, as in the service.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: Device,
        *,
        fold: bool,
        again: bool = False,
        folding: Folding = folded,
    ) -> None:
        self._fold = fold
        self._transcriber = WhisperTranscriber(
            checkpoint,
            device,
            fold=fold,
            folding=folding,
            attempts=fallback_steps(fold=fold)[: 1 + again],
            max_rows=MAX_ROWS,
        )

    def transcribe(
        self, clips: Sequence[Float32Array], languages: Sequence[str], *, words: bool
    ) -> list[Heard]:
        asked = [
            DecodeRequest(samples, (language,), words=words)
            for samples, language in zip(clips, languages, strict=True)
        ]
        return [
            Heard(found.text, found.words, again=found.folded != self._fold)
            for found in self._transcriber.transcribe(asked)
        ]


def load(weights: Weights, variant: Variant) -> Ours:
    retain_memory(os.environ)  # as the worker does
    checkpoint = load_checkpoint(weights.path)
    device = choose("cpu", variant.dtype)
    return Ours(checkpoint, device, fold=variant.folded, again=variant.again)
