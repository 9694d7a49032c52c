"""An engine that knows its input: it reads the hidden counters and writes them as text.

Its wording differs from decode to decode, as a real engine's may, and it fails on request.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np

from bench.robustness.chaos.hidden_counters import Piece, find
from consumer.core.audio.samples import FULL_SCALE
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array
from consumer.core.scheduling.capacity import CONTEXT, BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest, Samples
from consumer.core.text.hypothesis import Hypothesis
from consumer.errors import OutOfMemory
from schemas.transcript import Model

DEVICE_ASSERT: Final = 70  # exit status of a worker that decoded poison
_PREFIXES: Final = ("", "so ", "well, ", "uh ", "and then ", "you know ")
_PIECE: Final = re.compile(r"(\d+)@(\d+)-(\d+)")
_CALL_S: Final = 0.04
_AUDIO_S: Final = 0.01  # per second of speech
_POLL_S: Final = 0.05


class OracleMode(ctypes.Structure):
    """How the engine behaves; another thread or process may change it at any time."""

    slowness: float  # factor of the time that a call takes
    hangs: bool
    max_rows: int  # that fit into its memory; 0: any number
    _fields_: ClassVar[Sequence[tuple[str, type[Any]]]] = (
        ("slowness", ctypes.c_double),
        ("hangs", ctypes.c_bool),
        ("max_rows", ctypes.c_int),
    )

    def __init__(self, slowness: float = 1.0, max_rows: int = 0) -> None:
        super().__init__(slowness, max_rows=max_rows)


class Oracle:
    """A `consumer.engine.transcriber_thread.Transcriber`."""

    info = Model("oracle", "0" * 64, "int1", fold=False)
    languages = frozenset({"en", "zh"})
    limits = BatchLimits(16, 16 * CONTEXT)

    def __init__(self, mode: OracleMode) -> None:
        self._mode = mode

    def warm_up(self) -> None:
        """Do nothing: there is nothing to prepare."""

    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """Raise `OutOfMemory` above `max_rows`; end the process where a clip holds poison."""
        limit = self._mode.max_rows
        if 0 < limit < len(clips):
            raise OutOfMemory(f"{len(clips)} rows, and {limit} fit")
        audio_s = sum(len(clip.samples) for clip in clips) / WHISPER_RATE
        time.sleep((_CALL_S + _AUDIO_S * audio_s) * self._mode.slowness)
        while self._mode.hangs:
            time.sleep(_POLL_S)
        return [_hypothesis(clip) for clip in clips]


def write(pieces: Sequence[Piece]) -> str:
    """Return a text that names the pieces."""
    names = " ".join(f"{piece.stream}@{piece.start}-{piece.end}" for piece in pieces)
    return random.choice(_PREFIXES) + (names or "nothing")


def read(text: str) -> list[Piece]:
    """Return the pieces that a text of `write` names."""
    found = (map(int, match.groups()) for match in _PIECE.finditer(text))
    return [Piece(stream, start, end) for stream, start, end in found]


def _recorded(samples: Samples) -> Int16Array:
    """Return the samples as published; those at WHISPER_RATE come so."""
    if samples.dtype == np.int16:
        return samples.astype(np.int16, copy=False)
    return np.rint(samples * FULL_SCALE).astype(np.int16)


def _hypothesis(clip: DecodeRequest) -> Hypothesis:
    pieces = find(_recorded(clip.samples))
    if any(piece.poisoned for piece in pieces):
        os.write(2, f"device assert at {write(pieces)}\n".encode())
        os._exit(DEVICE_ASSERT)
    return Hypothesis(
        text=write(pieces),
        language=clip.languages[0] if clip.languages else "en",
        language_probability=None,
        tokens=(),
        avg_logprob=-0.1,
        no_speech_prob=0.0,
        compression_ratio=1.0,
        words=() if clip.words else None,
    )
