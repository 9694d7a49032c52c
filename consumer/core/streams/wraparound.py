"""Numbers that begin at 0 again because a publisher copies them from RTP: pure.

`seq` may be RTP's sequence number of 16 bits, and `start` its timestamp of 32 bits (RFC 3550,
section 5.1). A small number after one just below the modulus continues the count. After that each
number of the session is the nearest to the expected one that the stated one can be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from consumer.core.streams.chunks import Chunk
from consumer.core.streams.state import RecordOrder

_SEQ, _START = "seq", "start"
_SEQ_MODULUS: Final = 1 << 16
_START_MODULUS: Final = 1 << 32
_NEAR_RECORDS: Final = 64  # a number is near the modulus: in records, and in seconds
_NEAR_S: Final = 2


def unwrapped(chunk: Chunk, order: RecordOrder | None) -> Chunk:
    """Return the record with the numbers that continue those of the open session."""
    if order is None or order.over or is_of_other_run(chunk, order):
        return chunk
    audio = chunk.audio
    if audio.seq == order.next_seq and audio.start == order.end:
        return chunk
    seq, start = unwrapped_seq(audio.seq, order), _unwrapped_start(audio.start, order)
    if (seq, start) == (audio.seq, audio.start):
        return chunk
    wraps = ((_SEQ, seq != audio.seq), (_START, start != audio.start))
    names = tuple(name for name, is_wrapped in wraps if is_wrapped)
    return chunk._replace(audio=replace(audio, seq=seq, start=start), wraps=names)


def is_of_other_run(chunk: Chunk, order: RecordOrder) -> bool:
    """Return whether the record states another run of its publisher than the session's."""
    stated, known = chunk.audio.run, order.run
    return stated is not None and known is not None and stated != known


def unwrapped_seq(stated: int | None, order: RecordOrder) -> int | None:
    """Return the `seq` that continues the session's, given the stated one."""
    if stated is None or order.next_seq is None:
        return stated
    near = None if _SEQ in order.wrapped else _NEAR_RECORDS
    return _continued(stated, order.next_seq, _SEQ_MODULUS, near)


def as_stated(chunk: Chunk) -> Chunk:
    """Return the record with the numbers of its headers, to be read in another session."""
    if not chunk.wraps:
        return chunk
    seq = _if_wrapped(chunk, _SEQ, chunk.audio.seq, _SEQ_MODULUS)
    start = _if_wrapped(chunk, _START, chunk.audio.start, _START_MODULUS)
    return chunk._replace(audio=replace(chunk.audio, seq=seq, start=start), wraps=())


def _unwrapped_start(stated: int | None, order: RecordOrder) -> int | None:
    if stated is None:
        return None
    near = None if _START in order.wrapped else _NEAR_S * order.rate
    return _continued(stated, order.end, _START_MODULUS, near)


def _continued(stated: int, expected: int, modulus: int, near: int | None) -> int:
    """Return the number that is meant. `near`: see above; None: the session has wrapped before."""
    if near is None:
        return stated + max(0, round((expected - stated) / modulus)) * modulus
    follows = stated < near and abs(expected - modulus) <= near
    return stated + modulus if follows else stated


def _if_wrapped(chunk: Chunk, name: str, number: int | None, modulus: int) -> int | None:
    return number % modulus if number is not None and name in chunk.wraps else number
