"""Encode and decode the records of the audio topics and the events of the transcript topics.

Decoding is a pure function of the record and the topic's defaults, and raises only WireError,
whatever the bytes: a record that one worker rejects is rejected by every worker on every replay.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple, get_args

import msgspec
import orjson

from schemas.audio import (
    MAX_CHANNELS,
    MAX_POSITION,
    MAX_RATE,
    MAX_RECORD_BYTES,
    MAX_UNIX_MS,
    MIN_RATE,
    AudioChunk,
    AudioCodec,
    AudioDefaults,
    StreamOptions,
)
from schemas.audio_headers import select
from schemas.capture_time import capture_time
from schemas.codec_names import OWN_NAMES, codec_name
from schemas.errors import Reason, WireError
from schemas.headers import Headers, check_limits, decimal, flag, shown
from schemas.options import decode_options, encode_options
from schemas.topics import MAX_STREAM_ID_CHARACTERS, valid_stream_id
from schemas.transcript import AnyEvent

EVENT_SOURCE: Final = "/streamscribe"
EVENT_TYPES: Final[dict[str, type[AnyEvent]]] = {
    event_type.TYPE: event_type for event_type in get_args(AnyEvent)
}
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_RUN = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_SEQUENCE_DIGITS = 10  # of ce_sequence, so that events sort as text


class WireRecord(NamedTuple):
    """Key, value and headers of a Kafka record."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def encode_audio(chunk: AudioChunk) -> WireRecord:
    """Return the chunk as a record, with a header for each field that is set."""
    numbers = {
        "rate": chunk.rate,
        "channels": chunk.channels,
        "seq": chunk.seq,
        "start": chunk.start,
        "captured_ms": chunk.captured_ms,
    }
    headers = [("codec", chunk.codec.value.encode())]
    headers += [(name, b"%d" % value) for name, value in numbers.items() if value is not None]
    headers += [(name, b"1") for name in ("end", "flush") if getattr(chunk, name)]
    headers += encode_options(chunk.options)
    if chunk.traceparent is not None:
        headers.append(("traceparent", chunk.traceparent.encode()))
    if chunk.run is not None:
        headers.append(("run", chunk.run.encode()))
    return WireRecord(chunk.stream_id.encode(), chunk.payload, headers)


def decode_audio(
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    defaults: AudioDefaults = AudioDefaults(),  # noqa: B008 - frozen
) -> AudioChunk:
    """Return a record of an audio topic as a chunk. The payload itself is not decoded.

    What does not decide what the samples are, or where they go, is no error: it is listed in
    `problems`, and the default applies.
    Raises WireError with the reason of the first rule that the record breaks; cheap checks first.
    """
    payload = value or b""
    _check_size(payload)
    check_limits(headers)
    stream_id = _stream_id(key)
    known, problems = select(headers)
    form = _format(known.get("codec"), known.get("rate"), known.get("channels"), defaults)
    seq = decimal(known, "seq", most=MAX_POSITION)
    start = decimal(known, "start", most=MAX_POSITION)
    end, flush = flag(known, "end"), flag(known, "flush")
    options, invalid = decode_options(known)
    if not (payload or end or flush) and (invalid or options == StreamOptions()):
        raise WireError(
            Reason.EMPTY_VALUE, "no audio: send some, or `end`, `flush`, or options of the stream"
        )
    captured_ms, corrected = capture_time(known.get("captured_ms"))
    traceparent, dropped = _traceparent(known.get("traceparent"))
    run, ignored = _run(known.get("run"))
    return AudioChunk(
        stream_id,
        payload,
        *form,
        seq,
        start,
        captured_ms,
        end,
        flush,
        options,
        problems + invalid + corrected + dropped + ignored,
        traceparent,
        run,
    )


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_RECORD_BYTES:
        raise WireError(
            Reason.RECORD_TOO_LARGE,
            f"{len(payload)} bytes of audio: send at most {MAX_RECORD_BYTES} per record",
        )


@lru_cache(maxsize=16_384)
def _stream_id(key: bytes | None) -> str:
    rule = f"the record's key names the stream: 1-{MAX_STREAM_ID_CHARACTERS} of [A-Za-z0-9._:-]"
    if key is None:
        raise WireError(Reason.BAD_STREAM_ID, f"no key: {rule}")
    # latin-1 decodes any byte, and the rule rejects every character that is not ASCII.
    stream_id = key.decode("latin-1")
    if not valid_stream_id(stream_id):
        raise WireError(Reason.BAD_STREAM_ID, f"key {shown(key)}: {rule}")
    return stream_id


@lru_cache(maxsize=1_024)  # the records of a stream state one format
def _format(
    codec: bytes | None, rate: bytes | None, channels: bytes | None, defaults: AudioDefaults
) -> tuple[AudioCodec, int | None, int | None]:
    """Return codec, rate in Hz and channels of the values of their headers.

    Rate and channels are the headers', else the defaults for PCM and None for others.

    A rate that the codec's name states comes before the default.

    Raises WireError for values out of range.
    """
    stated = OWN_NAMES[defaults.codec] if codec is None else codec_name(codec)
    hz = decimal({"rate": rate}, "rate", most=MAX_POSITION)
    count = decimal({"channels": channels}, "channels", most=MAX_POSITION)
    if hz is not None and not MIN_RATE <= hz <= MAX_RATE:
        raise WireError(
            Reason.RATE_OUT_OF_RANGE, f"rate is {hz} Hz: resample to {MIN_RATE}-{MAX_RATE}"
        )
    if count is not None and not 1 <= count <= MAX_CHANNELS:
        raise WireError(
            Reason.CHANNELS_OUT_OF_RANGE, f"{count} channels: mix down to 1 or {MAX_CHANNELS}"
        )
    if stated.codec.self_describing:
        return stated.codec, hz, count
    return stated.codec, hz or stated.rate or defaults.rate, count or defaults.channels


def _traceparent(value: bytes | None) -> tuple[str | None, tuple[str, ...]]:
    if value is None:
        return None, ()
    if not _TRACEPARENT.fullmatch(value):
        return None, (f"traceparent: {shown(value)} is not in W3C's format; it is dropped",)
    return value.decode(), ()


def _run(value: bytes | None) -> tuple[str | None, tuple[str, ...]]:
    if value is None:
        return None, ()
    if not _RUN.fullmatch(value):
        return None, (f"run: {shown(value)} is not 1-64 of [A-Za-z0-9._:-]; it is dropped",)
    return value.decode(), ()


def encode_event(event: AnyEvent) -> WireRecord:
    """Return the event as a record: CloudEvents 1.0 in Kafka's binary mode, keyed by stream."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": EVENT_SOURCE,
        "ce_type": event.TYPE,
        "ce_subject": event.stream_id,
        "ce_time": _rfc3339(event.time_ms),
        "ce_sequence": f"{event.index:0{_SEQUENCE_DIGITS}d}",
        "content-type": "application/json",
    }
    if event.traceparent is not None:
        headers["traceparent"] = event.traceparent
    return WireRecord(
        event.stream_id.encode(),
        orjson.dumps(event),
        [(name, value.encode()) for name, value in headers.items()],
    )


def decode_event(headers: Headers, value: bytes | None) -> AnyEvent:
    """Return a record of a transcript topic as an event; unknown fields are ignored.

    Raises WireError: unknown_event for an unknown type, which a reader may skip because a newer
    writer may send it, and bad_event for a value that does not match its type.
    """
    event_type = _event_type(dict(headers).get("ce_type"))
    try:
        return msgspec.convert(orjson.loads(value or b""), event_type)
    except (orjson.JSONDecodeError, msgspec.ValidationError) as error:
        raise WireError(Reason.BAD_EVENT, f"{event_type.TYPE}: {error}") from error


def _event_type(value: bytes | None) -> type[AnyEvent]:
    event_type = EVENT_TYPES.get((value or b"").decode("latin-1"))
    if event_type is None:
        raise WireError(
            Reason.UNKNOWN_EVENT, f"ce_type is {shown(value or b'')}: unknown to this release"
        )
    return event_type


def _rfc3339(unix_ms: int) -> str:
    # A publisher's `start` may place audio after the last year that RFC 3339 can write.
    second, millisecond = divmod(min(max(unix_ms, 0), MAX_UNIX_MS), 1000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{millisecond:03d}Z"
