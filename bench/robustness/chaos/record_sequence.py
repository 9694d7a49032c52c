"""The records of a test stream: its audio in chunks, with faults of publishers and networks.

Also records that belong to no stream at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from random import Random
from typing import Final, NamedTuple

import numpy as np

from bench.robustness.chaos.test_streams import (
    Closing,
    Headers,
    Label,
    LabelledRecord,
    OrderHeaders,
    RecordKind,
    StreamScript,
    TestStream,
)
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array
from schemas.audio import MAX_HEADERS, MAX_RECORD_BYTES, AudioChunk
from schemas.codec import encode_audio
from schemas.errors import Reason

MARGIN: Final = 3  # chunks at either end of a stream without faults, and the fewest of one
_WRONG_HEADERS: Final = {
    Reason.BAD_HEADER: ("rate", b"fast"),
    Reason.UNKNOWN_CODEC: ("codec", b"pcm_s99"),
    Reason.RATE_OUT_OF_RANGE: ("rate", b"1000000"),
    Reason.CHANNELS_OUT_OF_RANGE: ("channels", b"64"),
}
_INPUT_FAULTS: Final = {
    OrderHeaders.PLAIN: ("flush",),  # a consumer could not detect the others
    OrderHeaders.SEQ: ("flush", "drop", "repeat", "swap"),
    OrderHeaders.SEQ_START: ("flush", "drop", "repeat", "swap", "spoil"),
}


def record_sequence(
    script: StreamScript, stream: TestStream, stopped: Callable[[], bool] = lambda: False
) -> Iterator[LabelledRecord]:
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
        yield _labelled(stream, samples, step)
    else:
        if stream.closing is not Closing.END:
            return
    yield _labelled(stream, samples, _Step(RecordKind.END, max(sent, default=-1) + 1))


class _Step(NamedTuple):
    """A record to come: one chunk, and what is done to it."""

    kind: RecordKind
    chunk: int
    note: str = ""


def _steps(stream: TestStream, length: int, sent: list[int], rng: Random) -> Iterator[_Step]:
    index, chunks = 0, -(-length // stream.chunk)
    while index < chunks:
        fault = "none"
        inside = MARGIN <= index < chunks - 2 * MARGIN
        if inside and rng.random() < stream.fault_rate:
            fault = rng.choice(_INPUT_FAULTS[stream.headers])
        steps = _next_steps(fault, index, sent, rng)
        yield from steps
        index = max((step.chunk for step in steps), default=index + rng.randint(0, 3)) + 1


def _next_steps(fault: str, index: int, sent: list[int], rng: Random) -> list[_Step]:
    """Return the records at the next chunk, given the chunks that were sent before."""
    sound = _Step(RecordKind.SOUND, index)
    match fault:
        case "flush":
            return [sound._replace(note="flush")]
        case "drop":  # one to four chunks
            return []
        case "repeat":
            again = [_Step(RecordKind.REPEAT, each) for each in sent[-rng.randint(1, 3) :]]
            return [*again, sound]
        case "swap":
            return [sound._replace(chunk=index + 1), sound]
        case "spoil":
            reason = rng.choice([*_WRONG_HEADERS, Reason.BAD_PAYLOAD])
            return [_Step(RecordKind.BAD, index, reason)]
    return [sound]


def _labelled(stream: TestStream, samples: Int16Array, step: _Step) -> LabelledRecord:
    start = min(step.chunk * stream.chunk, len(samples))
    ends = step.kind is RecordKind.END
    sound = samples[start : start if ends else start + stream.chunk]
    chunk = AudioChunk(
        stream.stream_id,
        np.repeat(sound, stream.channels).tobytes(),
        rate=WHISPER_RATE,
        channels=stream.channels,
        seq=None if stream.headers is OrderHeaders.PLAIN else step.chunk,
        start=start if stream.headers is OrderHeaders.SEQ_START else None,
        flush=step.note == "flush",
        end=ends,
    )
    label = Label(step.kind, stream.number, start, start + len(sound), step.note)
    return _spoilt(LabelledRecord(label, *encode_audio(chunk)))


def _spoilt(record: LabelledRecord) -> LabelledRecord:
    """Return the record with the fault that its label names, if any."""
    if record.label.note == Reason.BAD_PAYLOAD:
        return record._replace(value=record.value[:-1])
    if record.label.kind is not RecordKind.BAD:
        return record
    name, value = _WRONG_HEADERS[Reason(record.label.note)]
    return record._replace(headers=[h for h in record.headers if h[0] != name] + [(name, value)])


def invalid_records() -> Iterator[LabelledRecord]:
    """Yield one of each kind that no stream can have, endlessly."""
    many = [(f"x{number}", b"1") for number in range(MAX_HEADERS)]
    flac, low_rate = [("codec", b"flac")], [("rate", b"8000")]
    kinds: tuple[tuple[Reason, bytes | None, bytes, Headers], ...] = (
        (Reason.BAD_STREAM_ID, None, b"\0\0", []),
        (Reason.BAD_STREAM_ID, b"what/a name", b"\0\0", []),
        (Reason.EMPTY_VALUE, b"stray-empty", b"", []),
        (Reason.TOO_MANY_HEADERS, b"stray-headers", b"\0\0", many),
        (Reason.RECORD_TOO_LARGE, b"stray-large", bytes(MAX_RECORD_BYTES + 2), []),
        (Reason.BAD_PAYLOAD, b"stray-flac", b"fLaC and then nothing", flac),
        (Reason.TOO_LONG, b"stray-long", bytes(MAX_RECORD_BYTES), low_rate),
    )
    for reason, key, value, headers in cycle(kinds):
        yield LabelledRecord(Label(RecordKind.BAD, note=reason), key, value, headers)
