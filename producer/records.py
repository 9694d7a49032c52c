"""The record of a chunk, checked as the worker checks it. Pure."""

from __future__ import annotations

from schemas.audio import AudioChunk
from schemas.codec import WireRecord, decode_audio, encode_audio


def checked_record(chunk: AudioChunk) -> WireRecord:
    """Return the chunk as a record.

    Raises ValueError if the worker would reject it, or if an option is invalid.
    """
    record = encode_audio(chunk)
    if problems := decode_audio(*record).problems:
        raise ValueError("; ".join(problems))
    return record
