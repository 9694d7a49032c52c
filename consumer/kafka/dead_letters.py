"""A dead letter as a record: the original as it came, and why it is here.

What is too large even for the dead-letter topic keeps its headers, the first 64 KiB of its value
and the sha256 of all of it; `dlq.sha256` says that it is not whole.
"""

from __future__ import annotations

import io
from hashlib import sha256
from typing import Final

import soundfile

from consumer.core.audio.utterance import Utterance
from consumer.core.streams.entries import DeadLetter
from schemas.codec import WireRecord

WHOLE_BYTES: Final = (4 << 20) - (256 << 10)  # of a value that the topic takes, with its headers
KEPT_BYTES: Final = 64 << 10


def dead_record(letter: DeadLetter, worker: str) -> WireRecord:
    """Its key may be missing, as it came."""
    record = letter.record
    told = {
        "dlq.reason": letter.reason,
        "dlq.message": letter.message,
        "dlq.topic": record.partition.topic,
        "dlq.partition": str(record.partition.number),
        "dlq.offset": str(record.offset),
        "dlq.timestamp": str(record.timestamp_ms),
        "dlq.worker": worker,
    }
    if letter.records is not None:
        told["dlq.records"] = str(letter.records)
        told["dlq.last_offset"] = str(record.offset + letter.records - 1)
    value = record.value if letter.utterance is None else _flac(letter.utterance)
    if value is not None and len(value) > WHOLE_BYTES:
        told["dlq.sha256"] = sha256(value).hexdigest()
        value = value[:KEPT_BYTES]
    headers = [*record.headers, *((name, text.encode()) for name, text in told.items())]
    return WireRecord(record.key, value, headers)  # type: ignore[arg-type]  # either may be null


def _flac(utterance: Utterance) -> bytes:
    """Return the utterance as a FLAC file, which can be published again as a record."""
    file = io.BytesIO()
    soundfile.write(file, utterance.samples, utterance.rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
