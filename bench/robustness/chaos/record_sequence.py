"""The records of a test stream: its audio in chunks, with faults of publishers and networks.

Also records that belong to no stream at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from bench.robustness.chaos.test_streams import (
    HEADER,
    Closing,
    Label,
    OrderHeaders,
    RecordKind,
    StreamScript,
    TestStream,
)
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array
from schemas.audio import MAX_HEADERS, MAX_RECORD_BYTES, AudioChunk
from schemas.codec import WireRecord, encode_audio
from schemas.errors import Reason

MARGIN: Final = 3  # chunks at either end of a stream without faults, and the fewest of one
_WRONG_HEADERS: Final = {
    Reason.BAD_HEADER: ("captured_ms", b"now"),
    Reason.UNKNOWN_CODEC: ("codec", b"pcm_s99"),
    Reason.RATE_OUT_OF_RANGE: ("rate", b"1000000"),
    Reason.CHANNELS_OUT_OF_RANGE: ("channels", b"64"),
}


@dataclass(frozen=True, slots=True, eq=False)
class SequencedRecord:
    """One record to be published."""

    label: Label
    record: WireRecord
    at_s: float  # when its last sample is spoken, from the start of the stream


def record_sequence(
    script: StreamScript, stream: TestStream, stopped: Callable[[], bool]
) -> Iterator[SequencedRecord]:
    """Yield the records of a stream; once `stopped`, it ends with the next one."""
    samples = script.samples(stream)
    sent: list[int] = []  # chunks with sound
    newest = -1
    for step in _steps(stream, len(samples), sent, Random(f"{script.seed}/{stream.number}")):
        # Never after a spoilt chunk: the end would have its number, as if it were a repeat.
        if len(sent) >= MARGIN and newest == max(sent) and stopped():
            break
        newest = max(newest, step.chunk)
        if step.kind is RecordKind.SOUND:
            sent.append(step.chunk)
        yield _sequenced(stream, samples, step)
    else:
        if stream.closing is not Closing.END:
            return
    yield _sequenced(stream, samples, _Step(RecordKind.END, max(sent, default=-1) + 1))


class _Step(NamedTuple):
    """A record to come: one chunk, and what is done to it."""

    kind: RecordKind
    chunk: int
    note: str = ""


# Makes the records at the next chunk, given the chunks that were sent before.
_InputFault: TypeAlias = Callable[[int, list[int], Random], list[_Step]]


def _steps(stream: TestStream, length: int, sent: list[int], rng: Random) -> Iterator[_Step]:
    index, chunks = 0, -(-length // stream.chunk)
    while index < chunks:
        fault: _InputFault = _send
        inside = MARGIN <= index < chunks - 2 * MARGIN
        if inside and rng.random() < stream.fault_rate:
            fault = rng.choice(_INPUT_FAULTS[stream.headers])
        steps = fault(index, sent, rng)
        yield from steps
        index = max((step.chunk for step in steps), default=index + rng.randint(0, 3)) + 1


def _send(index: int, _: list[int], __: Random) -> list[_Step]:
    return [_Step(RecordKind.SOUND, index)]


def _flush(index: int, _: list[int], __: Random) -> list[_Step]:
    return [_Step(RecordKind.SOUND, index, "flush")]


def _drop(_: int, __: list[int], ___: Random) -> list[_Step]:
    """Leave out one to four chunks."""
    return []


def _repeat(index: int, sent: list[int], rng: Random) -> list[_Step]:
    again = [_Step(RecordKind.REPEAT, each) for each in sent[-rng.randint(1, 3) :]]
    return [*again, _Step(RecordKind.SOUND, index)]


def _swap(index: int, _: list[int], __: Random) -> list[_Step]:
    return [_Step(RecordKind.SOUND, index + 1), _Step(RecordKind.SOUND, index)]


def _spoil(index: int, _: list[int], rng: Random) -> list[_Step]:
    return [_Step(RecordKind.BAD, index, rng.choice([*_WRONG_HEADERS, Reason.BAD_PAYLOAD]))]


_INPUT_FAULTS: Final[dict[OrderHeaders, tuple[_InputFault, ...]]] = {
    OrderHeaders.PLAIN: (_flush,),  # a consumer could not detect the others
    OrderHeaders.SEQ: (_flush, _drop, _repeat, _swap),
    OrderHeaders.SEQ_START: (_flush, _drop, _repeat, _swap, _spoil),
}


def _sequenced(stream: TestStream, samples: Int16Array, step: _Step) -> SequencedRecord:
    start = min(step.chunk * stream.chunk, len(samples))
    sound = (
        samples[start : start + stream.chunk] if step.kind is not RecordKind.END else samples[:0]
    )
    label = Label(step.kind, stream.number, start, start + len(sound), step.note)
    record = encode_audio(
        AudioChunk(
            stream.stream_id,
            np.repeat(sound, stream.channels).tobytes(),
            rate=WHISPER_RATE,
            channels=stream.channels,
            seq=None if stream.headers is OrderHeaders.PLAIN else step.chunk,
            start=start if stream.headers is OrderHeaders.SEQ_START else None,
            flush=step.note == "flush",
            end=step.kind is RecordKind.END,
        )
    )
    return SequencedRecord(label, _with_label(record, label), label.end / WHISPER_RATE)


def _with_label(record: WireRecord, label: Label) -> WireRecord:
    """Return the record with its label, and with the fault that the label names."""
    headers = [*record.headers, (HEADER, label.encode())]
    if label.note == Reason.BAD_PAYLOAD:
        return record._replace(value=record.value[:-1], headers=headers)
    if label.kind is RecordKind.BAD:
        name, value = _WRONG_HEADERS[Reason(label.note)]
        headers = [(n, v) for n, v in headers if n != name] + [(name, value)]
    return record._replace(headers=headers)


class InvalidRecord(NamedTuple):
    """A record that no stream can have."""

    reason: Reason  # of its dead letter
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]  # without the label


def invalid_records() -> Iterator[InvalidRecord]:
    """Yield one of each kind, endlessly."""
    many = [(f"x{number}", b"1") for number in range(MAX_HEADERS)]
    flac, low_rate = [("codec", b"flac")], [("rate", b"8000")]
    return cycle(
        (
            InvalidRecord(Reason.BAD_STREAM_ID, None, b"\0\0", []),
            InvalidRecord(Reason.BAD_STREAM_ID, b"what/a name", b"\0\0", []),
            InvalidRecord(Reason.EMPTY_VALUE, b"stray-empty", b"", []),
            InvalidRecord(Reason.TOO_MANY_HEADERS, b"stray-headers", b"\0\0", many),
            InvalidRecord(Reason.RECORD_TOO_LARGE, b"stray-large", bytes(MAX_RECORD_BYTES + 2), []),
            InvalidRecord(Reason.BAD_PAYLOAD, b"stray-flac", b"fLaC and then nothing", flac),
            InvalidRecord(Reason.TOO_LONG, b"stray-long", bytes(MAX_RECORD_BYTES), low_rate),
        )
    )
