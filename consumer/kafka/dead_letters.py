"""The record of a dead letter: the original as it came, with headers that state the reason.

A value too large for the dead-letter topic is cut to its first 64 KiB. The header `dlq.sha256`
then holds the digest of the whole value; a record without that header is complete.
"""

from __future__ import annotations

import io
from hashlib import sha256
from typing import Final

import soundfile

from consumer.core.audio.utterance import Utterance
from consumer.core.streams.entries import DeadLetter
from schemas.codec import WireRecord
from schemas.options import encode_options

WHOLE_BYTES: Final = (4 << 20) - (256 << 10)  # largest value that the topic takes beside headers
KEPT_BYTES: Final = 64 << 10  # of a larger value


def dead_record(letter: DeadLetter, worker: str) -> WireRecord:
    """Return the record to write; its key is null where that of the original is.

    `worker` names the process that writes it.
    """
    record = letter.record
    added = {
        "dlq.reason": letter.reason,
        "dlq.message": letter.message,
        "dlq.topic": record.partition.topic,
        "dlq.partition": str(record.partition.number),
        "dlq.offset": str(record.offset),
        "dlq.timestamp": str(record.timestamp_ms),
        "dlq.worker": worker,
    }
    if letter.records is not None:
        added["dlq.records"] = str(letter.records)
        added["dlq.last_offset"] = str(record.offset + letter.records - 1)
    if letter.options is not None:
        options = encode_options(letter.options)
        added |= {f"dlq.option.{name}": value.decode() for name, value in options}
    value = record.value if letter.utterance is None else _flac(letter.utterance)
    if value is not None and len(value) > WHOLE_BYTES:
        added["dlq.sha256"] = sha256(value).hexdigest()
        value = value[:KEPT_BYTES]
    headers = [*record.headers, *(_header(*item) for item in added.items())]
    return WireRecord(record.key, value, headers)  # type: ignore[arg-type]  # either may be null


def _header(name: str, text: str) -> tuple[str, bytes]:
    return name, text.encode(errors="backslashreplace")  # a message may quote a lone surrogate


def _flac(utterance: Utterance) -> bytes:
    """Return the utterance as a FLAC file, which can be published again as a record."""
    file = io.BytesIO()
    soundfile.write(file, utterance.samples, utterance.rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
