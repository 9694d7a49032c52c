"""Streamscribe's engine, greedy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from bench.engine.engines.catalog import EngineText, Variant, Weights
from consumer.core.audio.utterance import Float32Array
from consumer.core.scheduling.capacity import BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.fallback import fallback_steps
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.checkpoint import load as load_checkpoint
from consumer.inference.device import Device, choose
from consumer.inference.fold import Folding, folded
from consumer.inference.whisper_engine import WhisperTranscriber
from consumer.process_tuning import retain_memory

MAX_ROWS: Final = 256  # of a batch, so that all clips of a call are decoded together
MAX_POSITIONS: Final = {"cpu": 8192, "cuda": MAX_ROWS * 320}  # 320: of a folded clip of 4 s


class StreamscribeEngine:
    """The text of the first attempt, accepted or not: a fallback would hide what is compared.

    With `redecode`, a folded text that is not accepted is decoded padded, as in the service.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: Device,
        *,
        fold: bool,
        redecode: bool = False,
        folding: Folding = folded,
    ) -> None:
        self._fold = fold
        self._transcriber = WhisperTranscriber(
            checkpoint,
            device,
            fold=fold,
            folding=folding,
            attempts=fallback_steps(fold=fold)[: 1 + redecode],
            limits=BatchLimits(MAX_ROWS, MAX_POSITIONS[device.device.type]),
        )

    def transcribe(
        self, clips: Sequence[Float32Array], languages: Sequence[str], *, words: bool
    ) -> list[EngineText]:
        requests = [
            DecodeRequest(samples, (language,), words=words)
            for samples, language in zip(clips, languages, strict=True)
        ]
        return [
            EngineText(found.text, found.words, redecoded=found.folded != self._fold)
            for found in self._transcriber.transcribe(requests)
        ]


def load(weights: Weights, variant: Variant) -> StreamscribeEngine:
    retain_memory(os.environ)  # as the worker does
    device = choose("cpu", variant.dtype)
    checkpoint = load_checkpoint(weights.path)
    return StreamscribeEngine(checkpoint, device, fold=variant.folded, redecode=variant.redecode)
