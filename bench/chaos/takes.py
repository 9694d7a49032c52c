"""What streams recite: real speech with silences, and counters hidden in it.

All of it follows from a seed and a take's number, so that nothing has to be kept. Every record says
in a header of the bench's own what it is; consumers pass over headers that they do not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np

from bench.chaos.hidden_counters import BLOCK, hide
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array

HEADER: Final = "bench"
CHUNKS: Final = (1000, 1600, 3200, 4800)  # samples of a record
_SILENCE_S: Final = (0.3, 4.0)
_TAKE_S: Final = (15.0, 60.0)
_NOISE: Final = 4  # amplitude of silence
_POISON_BLOCKS: Final = 100  # 2 s: more than a pause between words


class Style(StrEnum):
    """What a publisher says of its records' order."""

    PLAIN = "plain"  # nothing: it is the offsets'
    SEQ = "seq"
    SEQ_START = "seq-start"


class Closing(StrEnum):
    """How a take ends; the values are `StreamEndReason`'s."""

    END = "end"  # its last record says so
    RESTART = "restart"  # the next take of the id begins with seq 0
    FORMAT = "format"  # the next take of the id has another count of channels


class Kind(StrEnum):
    """What a record is, and so what has to become of it."""

    SOUND = "sound"
    END = "end"  # no sound, end of the stream
    REPEAT = "repeat"  # to be dropped and counted
    BAD = "bad"  # to be dead-lettered
    HOSTILE = (
        "hostile"  # of the bench of abuse; the note says why it is refused, where that is sure
    )


@dataclass(frozen=True, slots=True)
class Label:
    """The bench's header."""

    kind: Kind
    take: int = 0
    start: int = 0  # samples of the take: what the record holds, or held before it was spoilt
    end: int = 0
    note: str = ""  # flush, or why it is to be dead-lettered

    def encode(self) -> bytes:
        return f"{self.kind} {self.take} {self.start} {self.end} {self.note}".encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        kind, take, start, end, note = value.decode().split(" ")
        return cls(Kind(kind), int(take), int(start), int(end), note)


@dataclass(frozen=True, slots=True)
class Plan:
    """One take."""

    number: int
    stream_id: str
    style: Style
    closing: Closing
    channels: int
    chunk: int  # samples of a record
    mischief: float = 0.05  # probability that something happens to a record
    poisoned: bool = False  # its first words are


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """Sound of any take."""

    clips: Sequence[Int16Array]  # at WHISPER_RATE
    seed: int

    def sound(self, plan: Plan) -> Int16Array:
        """[n], counters included."""
        rng = np.random.default_rng((self.seed, plan.number))
        length = rng.uniform(*_TAKE_S) * WHISPER_RATE
        parts: list[Int16Array] = []
        while sum(len(part) for part in parts) < length:
            silence = rng.integers(-_NOISE, _NOISE, int(rng.uniform(*_SILENCE_S) * WHISPER_RATE))
            clip = self.clips[int(rng.integers(len(self.clips)))]
            parts += [silence.astype(np.int16), clip]
        middle = (len(parts[0]) + len(parts[1]) // 2) // BLOCK  # of the first words
        poison = range(middle, middle + _POISON_BLOCKS) if plan.poisoned else ()
        return hide(np.concatenate(parts), plan.number, poison=poison)
