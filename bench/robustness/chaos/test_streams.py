"""What a run publishes: streams of real speech and silence, with counters hidden in them.

All of it follows from a seed and a stream's number, so that no audio has to be kept. The bench's
own header states what each record is; consumers ignore headers that they do not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np

from bench.robustness.chaos.hidden_counters import BLOCK, hide
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array

HEADER: Final = "bench"
CHUNK_SAMPLES: Final = (1000, 1600, 3200, 4800)  # of a record
_SILENCE_S: Final = (0.3, 4.0)
_LENGTH_S: Final = (15.0, 60.0)
_NOISE: Final = 4  # amplitude of silence
_POISON_BLOCKS: Final = 100  # 2 s: more than a pause between words

Header: TypeAlias = tuple[str, bytes]
Headers: TypeAlias = list[Header]


class OrderHeaders(StrEnum):
    """The headers by which records state their order."""

    PLAIN = "plain"  # none: offsets alone order them
    SEQ = "seq"
    SEQ_START = "seq-start"


class Closing(StrEnum):
    """How a test stream ends."""

    END = "end"  # with a record that states it
    RESTART = "restart"  # the next one of the id begins with seq 0
    FORMAT = "format"  # the next one of the id has another number of channels


class RecordKind(StrEnum):
    """What a record is, which decides its outcome."""

    SOUND = "sound"
    END = "end"  # no sound, end of the stream
    REPEAT = "repeat"  # a duplicate: dropped and counted
    BAD = "bad"  # dead-lettered
    HOSTILE = "hostile"  # of the abuse bench; the note is the reason of its dead letter, if certain
    FAULT = "fault"  # likewise; the note is the stage that raises an exception for its stream


class Label(msgspec.Struct, frozen=True):
    """The bench's header."""

    kind: RecordKind
    stream: int = 0
    start: int = 0  # samples of the stream that the record holds, or held before it was spoilt
    end: int = 0
    note: str = ""  # "flush", or the reason of the dead letter

    @property
    def header(self) -> Header:
        return HEADER, msgspec.json.encode(self)


def label_of(headers: Sequence[tuple[str, Any]]) -> Label:
    return msgspec.json.decode(dict(headers)[HEADER], type=Label)


class LabelledRecord(NamedTuple):
    """A record to be published, its headers still without the label."""

    label: Label
    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class TestStream:
    """One stream of a run, from its first record to its end; ids are used again after an end."""

    __test__: ClassVar = False  # no test, whatever pytest makes of the name

    number: int  # unique in the run
    stream_id: str
    headers: OrderHeaders
    closing: Closing = Closing.END
    channels: int = 1
    chunk: int = CHUNK_SAMPLES[1]  # samples of a record
    fault_rate: float = 0.0  # probability that something happens to a record
    poisoned: bool = False  # its first words end any worker that decodes them


@dataclass(frozen=True, slots=True, eq=False)
class StreamScript:
    """The audio of any test stream."""

    clips: Sequence[Int16Array]  # at WHISPER_RATE
    seed: int

    def samples(self, stream: TestStream) -> Int16Array:
        """Return all samples [n], counters included."""
        rng = np.random.default_rng((self.seed, stream.number))
        length = rng.uniform(*_LENGTH_S) * WHISPER_RATE
        parts: list[Int16Array] = []
        while sum(len(part) for part in parts) < length:
            silence = rng.integers(-_NOISE, _NOISE, int(rng.uniform(*_SILENCE_S) * WHISPER_RATE))
            clip = self.clips[int(rng.integers(len(self.clips)))]
            parts += [silence.astype(np.int16), clip]
        middle = (len(parts[0]) + len(parts[1]) // 2) // BLOCK  # of the first words
        poison = range(middle, middle + _POISON_BLOCKS) if stream.poisoned else ()
        return hide(np.concatenate(parts), stream.number, poison=poison)
