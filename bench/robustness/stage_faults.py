"""An unexpected exception inside one stage, for chosen streams only: for tests and benches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from typing import Any, Final
from unittest.mock import patch

from consumer.codecs import reader
from consumer.core.partition import utterances
from consumer.core.streams.session import Session
from consumer.core.streams.stream import Stream
from consumer.detection.detector_thread import DetectorThread
from consumer.engine.transcriber_thread import TranscriberThread
from consumer.kafka import store


class FaultStage(StrEnum):
    """The stages that work on one record, stream, utterance or event."""

    READ = "read"  # a record's payload becomes samples
    ORDER = "order"  # the record is put in its place
    DETECTION = "detection"
    CUT = "cut"  # scores become utterances
    JOB = "job"  # an utterance becomes the model's input
    PARTIAL = "partial"
    FINAL = "final"
    EVENT = "event"  # an event becomes a record


class StageError(Exception):
    """The exception that is raised."""


_STAGES: Final[dict[FaultStage, tuple[Any, str, Callable[..., set[str]]]]] = {
    FaultStage.READ: (reader, "decoded_record", lambda record, *_: {(record.key or b"").decode()}),
    FaultStage.ORDER: (Stream, "push", lambda stream, _: {stream.stream_id}),
    FaultStage.DETECTION: (
        DetectorThread,
        "_scores",
        lambda _, requests: {request.session.stream_id for request in requests},
    ),
    FaultStage.CUT: (Session, "on_scores", lambda session, _: {session.key.stream_id}),
    FaultStage.JOB: (TranscriberThread, "_clip", lambda _, job, **__: {job.id.session.stream_id}),
    FaultStage.PARTIAL: (
        utterances,
        "partial_text",
        lambda decode, *_: {decode.id.session.stream_id},
    ),
    FaultStage.FINAL: (utterances, "final", lambda pending, *_: {pending.id.session.stream_id}),
    FaultStage.EVENT: (store, "encode_event", lambda event: {event.stream_id}),
}


@contextmanager
def raising(stage: FaultStage, is_faulty: Callable[[str], bool]) -> Iterator[None]:
    """Raise `StageError` in a stage for the streams for which `is_faulty` returns true."""
    owner, name, streams_of = _STAGES[stage]
    original = getattr(owner, name)

    @wraps(original)
    def faulty(*args: Any, **kwargs: Any) -> Any:
        if any(map(is_faulty, streams_of(*args, **kwargs))):
            raise StageError(stage)
        return original(*args, **kwargs)

    with patch.object(owner, name, faulty):
        yield
