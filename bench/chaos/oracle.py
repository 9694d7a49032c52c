"""An engine that knows what it heard: it reads the hidden counters and writes them down.

Its wording differs from decode to decode, as a real engine's may, and it fails when it is told to.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.chaos.hidden_counters import Piece, find
from consumer.core.audio.samples import FULL_SCALE
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis
from consumer.errors import OutOfMemory
from schemas.transcript import Model

NAME: Final = "oracle"
DEVICE_ASSERT: Final = 70  # exit status of a worker that heard poison
_PREFIXES: Final = ("", "so ", "well, ", "uh ", "and then ", "you know ")
_PIECE: Final = re.compile(r"(\d+)@(\d+)-(\d+)")
_CALL_S: Final = 0.04
_AUDIO_S: Final = 0.01  # per second of speech
_POLL_S: Final = 0.05


@dataclass(slots=True)
class Mood:
    """How the engine behaves; another thread may change it at any time."""

    slowness: float = 1.0
    hangs: bool = False
    most_rows: int | None = None  # what fits into its memory; None: everything


class Oracle:
    """A `consumer.engine.local.Transcriber`."""

    info = Model(NAME, "0" * 64, "int1", fold=False)
    languages = frozenset({"en", "zh"})

    def __init__(self, mood: Mood) -> None:
        self._mood = mood

    def warm_up(self) -> None:
        """There is nothing to prepare."""

    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """Raises `OutOfMemory`; ends the process where a clip holds poison."""
        most = self._mood.most_rows
        if most is not None and len(clips) > most:
            raise OutOfMemory(f"{len(clips)} rows, and {most} fit")
        audio_s = sum(len(clip.samples) for clip in clips) / WHISPER_RATE
        time.sleep((_CALL_S + _AUDIO_S * audio_s) * self._mood.slowness)
        while self._mood.hangs:
            time.sleep(_POLL_S)
        return [_hypothesis(clip) for clip in clips]


def write(pieces: Sequence[Piece]) -> str:
    told = " ".join(f"{piece.take}@{piece.start}-{piece.end}" for piece in pieces)
    return random.choice(_PREFIXES) + (told or "nothing")


def read(text: str) -> list[Piece]:
    """What `write` was told, whatever words it chose."""
    found = (map(int, match.groups()) for match in _PIECE.finditer(text))
    return [Piece(take, start, end) for take, start, end in found]


def _hypothesis(clip: DecodeRequest) -> Hypothesis:
    pieces = find(np.rint(clip.samples * FULL_SCALE).astype(np.int16))
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
