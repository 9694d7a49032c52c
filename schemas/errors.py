"""Why a record is rejected: stable codes, the same in dead letters, metrics and logs."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a record is rejected; written to the `dlq.reason` header, never renamed."""

    RECORD_TOO_LARGE = "record_too_large"
    TOO_MANY_HEADERS = "too_many_headers"
    HEADERS_TOO_LARGE = "headers_too_large"
    BAD_STREAM_ID = "bad_stream_id"  # the key is missing or is no stream id
    DUPLICATE_HEADER = "duplicate_header"
    BAD_HEADER = "bad_header"  # a value that cannot be parsed
    UNKNOWN_CODEC = "unknown_codec"
    UNKNOWN_LANGUAGE = "unknown_language"
    RATE_OUT_OF_RANGE = "rate_out_of_range"
    CHANNELS_OUT_OF_RANGE = "channels_out_of_range"
    EMPTY_VALUE = "empty_value"  # without `end` or `flush`
    BAD_PAYLOAD = "bad_payload"  # truncated, or not in the stated codec
    TOO_LONG = "too_long"  # decodes to more than MAX_RECORD_SECONDS
    FORMAT_CONTRADICTION = "format_contradiction"  # headers and payload differ
    TOO_MANY_STREAMS = "too_many_streams"  # the partition has reached its limit of streams
    TOO_MANY_NEW_STREAMS = "too_many_new_streams"  # new streams arrive above the limit per second
    OVERLAP = "overlap"  # `start` lies before audio that was received already
    LATE = "late"  # a record whose number was given up before
    SECOND_PUBLISHER = "second_publisher"  # another record was read under the same number
    BATCH_TOO_LARGE = "batch_too_large"  # a record batch that unpacks to more than the limit
    CORRUPT_BATCH = "corrupt_batch"  # a record batch that cannot be read
    UNDECODABLE = "undecodable"  # an utterance whose decodes failed, or each ended its worker
    INTERNAL_ERROR = "internal_error"  # an unexpected exception, for this record or its stream
    UNKNOWN_EVENT = "unknown_event"
    BAD_EVENT = "bad_event"


class WireError(ValueError):
    """A record breaks a rule of the wire format.

    The message states what to change; `reason` is its code.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
