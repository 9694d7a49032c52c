from __future__ import annotations

import numpy as np
import pytest
from builders import RATE, Log, loud, quiet, read
from partition_harness import Worker

from consumer.core.audio.samples import unpack
from consumer.core.audio.utterance import Int16Array
from consumer.core.streams.chunks import Chunk, addressed, names, split
from consumer.core.streams.records import Record
from schemas.audio import AudioChunk
from schemas.errors import Reason, WireError
from schemas.transcript import StreamEnded, StreamStarted, TranscriptFinal


def both(left: Int16Array, right: Int16Array) -> Int16Array:
    return np.stack([left, right], axis=1)


def chunk(samples: Int16Array, stream_id: str = "call") -> AudioChunk:
    channels = samples.shape[1] if samples.ndim == 2 else 1
    return AudioChunk(stream_id, samples.tobytes(), rate=RATE, channels=channels)


def read_split(record: Record) -> tuple[Chunk, ...]:
    """Return the chunks that the service makes of a PCM record when it splits channels."""
    whole = read(record)
    if not whole.audio.payload:
        return (whole,)
    return split(whole, unpack(whole.audio.payload, whole.audio.codec, whole.channels))


def test_each_channel_becomes_a_stream():
    record = Log().append(chunk(both(loud(1), quiet(1))))
    left, right = read_split(record)
    assert (left.audio.stream_id, right.audio.stream_id) == ("call.0", "call.1")
    assert left.samples.all()
    assert not right.samples.any()
    assert {left.channels, right.channels} == {1}


def test_a_mono_record_is_not_split():
    (only,) = read_split(Log().append(chunk(loud(1))))
    assert only.audio.stream_id == "call"


def test_a_stream_id_must_leave_room_for_the_channel_suffix():
    record = Log().append(chunk(both(loud(1), loud(1)), "x" * 127))
    with pytest.raises(WireError, match="126 at most") as raised:
        read_split(record)
    assert raised.value.reason is Reason.BAD_STREAM_ID


def test_a_record_without_audio_applies_to_all_open_channels():
    end = read(Log().append(AudioChunk("call", b"", end=True)))
    for open_ in ({"call.0", "call.1"}, {"call.1"}, {"call", "call.0"}):
        receivers = {each.audio.stream_id for each in addressed(end, open_.__contains__)}
        assert receivers == open_
    assert [each.audio.stream_id for each in addressed(end, lambda _: False)] == ["call"]


def test_two_sides_of_a_call_are_separate_streams():
    log = Log()
    log.append(chunk(both(np.concatenate([loud(2), quiet(1)]), quiet(3))))
    log.append(chunk(both(quiet(3), np.concatenate([loud(2), quiet(1)]))))
    log.append_raw(b"call", b"x", [("codec", b"g722")])
    log.append(AudioChunk("call", b"", end=True))
    worker = Worker(split_channels=True)
    worker.read_record = read_split
    worker.read(*log.records)
    assert [(job.id.session.stream_id, job.utterance.start < 2 * RATE) for job in worker.jobs] == [
        ("call.0", True),
        ("call.1", False),
    ]
    assert worker.task.streams == 0
    commit = worker.commit()
    assert commit is not None
    assert [letter.reason for letter in commit.dead_letters] == [Reason.UNKNOWN_CODEC]
    for name in names("call"):
        kinds = {type(event) for event in commit.events if event.stream_id == name}
        assert StreamStarted in kinds
        assert not kinds & {TranscriptFinal, StreamEnded}  # they wait for a text
