"""A take as records: cut into chunks, with the mischief of publishers and of networks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from bench.chaos.takes import HEADER, Closing, Kind, Label, Plan, Script, Style
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array
from schemas.audio import MAX_HEADERS, MAX_RECORD_BYTES, AudioChunk
from schemas.codec import WireRecord, encode_audio
from schemas.errors import Reason

SAFE: Final = 3  # chunks at either end of a take that nothing happens to, and the least of one
_SPOILT: Final = {
    Reason.BAD_HEADER: ("captured_ms", b"now"),
    Reason.UNKNOWN_CODEC: ("codec", b"pcm_s99"),
    Reason.RATE_OUT_OF_RANGE: ("rate", b"1000000"),
    Reason.CHANNELS_OUT_OF_RANGE: ("channels", b"64"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One record to be published."""

    label: Label
    record: WireRecord
    at_s: float  # when its last sample is spoken, from the start of the take


def recital(script: Script, plan: Plan, stopped: Callable[[], bool]) -> Iterator[Item]:
    """The records of a take; they end in order once `stopped`."""
    rng = random.Random(f"{script.seed}/{plan.number}")
    return _Recital(plan, script.sound(plan), rng).items(stopped)


class _Step(NamedTuple):
    """A record to come: one chunk, and what is done to it."""

    kind: Kind
    chunk: int
    note: str = ""


_Trick: TypeAlias = Callable[[int], list[_Step]]  # the next chunk -> records, in order


class _Recital:
    """Cuts a take into records, and plays tricks with them."""

    def __init__(self, plan: Plan, sound: Int16Array, rng: random.Random) -> None:
        self._plan = plan
        self._sound = sound
        self._rng = rng
        self._count = -(-len(sound) // plan.chunk)
        self._sent: list[int] = []  # chunks with sound
        tricks: list[_Trick] = [self._flush]
        if plan.style is not Style.PLAIN:  # else no consumer could tell
            tricks += [self._drop, self._repeat, self._swap]
        if plan.style is Style.SEQ_START:
            tricks.append(self._spoil)
        self._tricks = tricks

    def items(self, stopped: Callable[[], bool]) -> Iterator[Item]:
        newest = -1
        for step in self._steps():
            # Never behind a spoilt chunk: the end would have its number, as if it were a repeat.
            if len(self._sent) >= SAFE and newest == max(self._sent) and stopped():
                break
            newest = max(newest, step.chunk)
            yield self._item(step)
        else:
            if self._plan.closing is not Closing.END:
                return
        yield self._ending()

    def _steps(self) -> Iterator[_Step]:
        index = 0
        while index < self._count:
            trick = self._rng.choice(self._tricks) if self._suffers(index) else self._say
            steps = trick(index)
            yield from steps
            index = max((step.chunk for step in steps), default=index + self._rng.randint(0, 3)) + 1

    def _suffers(self, index: int) -> bool:
        safe = SAFE <= index < self._count - 2 * SAFE
        return safe and self._rng.random() < self._plan.mischief

    def _say(self, index: int) -> list[_Step]:
        return [_Step(Kind.SOUND, index)]

    def _flush(self, index: int) -> list[_Step]:
        return [_Step(Kind.SOUND, index, "flush")]

    def _drop(self, _: int) -> list[_Step]:
        """One to four chunks are never sent."""
        return []

    def _repeat(self, index: int) -> list[_Step]:
        again = self._sent[-self._rng.randint(1, 3) :]
        return [_Step(Kind.REPEAT, each) for each in again] + self._say(index)

    def _swap(self, index: int) -> list[_Step]:
        return self._say(index + 1) + self._say(index)

    def _spoil(self, index: int) -> list[_Step]:
        return [_Step(Kind.BAD, index, self._rng.choice([*_SPOILT, Reason.BAD_PAYLOAD]))]

    def _item(self, step: _Step) -> Item:
        plan = self._plan
        start = step.chunk * plan.chunk
        sound = self._sound[start : start + plan.chunk]
        end = start + len(sound)
        if step.kind is Kind.SOUND:
            self._sent.append(step.chunk)
        label = Label(step.kind, plan.number, start, end, step.note)
        payload = np.repeat(sound, plan.channels).tobytes()
        return Item(label, _spoilt(self._record(step, payload), label), end / WHISPER_RATE)

    def _record(self, step: _Step, payload: bytes) -> WireRecord:
        plan = self._plan
        return encode_audio(
            AudioChunk(
                plan.stream_id,
                payload,
                rate=WHISPER_RATE,
                channels=plan.channels,
                seq=None if plan.style is Style.PLAIN else step.chunk,
                start=step.chunk * plan.chunk if plan.style is Style.SEQ_START else None,
                flush=step.note == "flush",
                end=step.kind is Kind.END,
            )
        )

    def _ending(self) -> Item:
        last = max(self._sent, default=-1)
        end = min((last + 1) * self._plan.chunk, len(self._sound))
        label = Label(Kind.END, self._plan.number, end, end)
        record = self._record(_Step(Kind.END, last + 1), b"")
        if self._plan.style is Style.SEQ_START:
            at = [(name, value) for name, value in record.headers if name != "start"]
            record = record._replace(headers=[*at, ("start", b"%d" % end)])
        return Item(label, _spoilt(record, label), end / WHISPER_RATE)


def _spoilt(record: WireRecord, label: Label) -> WireRecord:
    """The record with its label, and with the fault that the label names."""
    headers = [*record.headers, (HEADER, label.encode())]
    if label.note == Reason.BAD_PAYLOAD:
        return record._replace(value=record.value[:-1], headers=headers)
    if label.kind is Kind.BAD:
        name, value = _SPOILT[Reason(label.note)]
        headers = [(n, v) for n, v in headers if n != name] + [(name, value)]
    return record._replace(headers=headers)


class Stray(NamedTuple):
    """A record that no stream can have."""

    label: Label
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def strays() -> Iterator[Stray]:
    """One after the other, for ever."""
    many = [(f"x{number}", b"1") for number in range(MAX_HEADERS)]
    kinds: list[tuple[Reason, bytes | None, bytes, list[tuple[str, bytes]]]] = [
        (Reason.BAD_STREAM_ID, None, b"\0\0", []),
        (Reason.BAD_STREAM_ID, b"what/a name", b"\0\0", []),
        (Reason.EMPTY_VALUE, b"stray-empty", b"", []),
        (Reason.TOO_MANY_HEADERS, b"stray-headers", b"\0\0", many),
        (Reason.RECORD_TOO_LARGE, b"stray-large", bytes(MAX_RECORD_BYTES + 2), []),
        (Reason.BAD_PAYLOAD, b"stray-flac", b"fLaC and then nothing", [("codec", b"flac")]),
        (Reason.TOO_LONG, b"stray-long", bytes(MAX_RECORD_BYTES), [("rate", b"8000")]),
    ]
    for reason, key, value, headers in cycle(kinds):
        label = Label(Kind.BAD, note=reason)
        yield Stray(label, key, value, [*headers, (HEADER, label.encode())])
