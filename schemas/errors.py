"""What a record can be refused for: stable codes, the same in dead letters, metrics and logs."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a record is refused; written to the `dlq.reason` header, never renamed."""

    RECORD_TOO_LARGE = "record_too_large"
    TOO_MANY_HEADERS = "too_many_headers"
    HEADERS_TOO_LARGE = "headers_too_large"
    BAD_STREAM_ID = "bad_stream_id"  # the key is missing or no stream id
    DUPLICATE_HEADER = "duplicate_header"
    BAD_HEADER = "bad_header"  # a value that cannot be read
    UNKNOWN_CODEC = "unknown_codec"
    UNKNOWN_LANGUAGE = "unknown_language"
    RATE_OUT_OF_RANGE = "rate_out_of_range"
    CHANNELS_OUT_OF_RANGE = "channels_out_of_range"
    EMPTY_VALUE = "empty_value"  # without `end` or `flush`
    BAD_PAYLOAD = "bad_payload"  # truncated, or not what the codec says
    TOO_LONG = "too_long"  # decodes to more than the longest record
    FORMAT_CONTRADICTION = "format_contradiction"  # headers and payload differ
    TOO_MANY_STREAMS = "too_many_streams"  # the partition has so many that it takes no new one
    TOO_MANY_NEW_STREAMS = "too_many_new_streams"  # they come too fast
    OVERLAP = "overlap"  # `start` lies before audio that came already
    BATCH_TOO_LARGE = "batch_too_large"  # a batch of records that unpacks to more than anyone needs
    CORRUPT_BATCH = "corrupt_batch"  # a batch of records that cannot be read
    UNDECODABLE = "undecodable"  # every decode of the utterance ended its worker
    UNKNOWN_EVENT = "unknown_event"
    BAD_EVENT = "bad_event"


class WireError(ValueError):
    """A record that is not what the wire allows.

    The message says what to change; `reason` is the code to count it by.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
