from __future__ import annotations

import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
import soundfile
from builders import Log, loud
from structlog.testing import capture_logs

from bench.robustness.stage_faults import FaultStage, raising
from consumer.codecs.reader import AudioRules, RecordReader, read_record
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.partition.step import DecodedRecord, RejectedRecord
from consumer.core.streams.records import Record
from schemas.audio import AudioChunk, AudioCodec, AudioDefaults
from schemas.errors import Reason

RULES = AudioRules(AudioDefaults())
SPLIT = AudioRules(AudioDefaults(), split_channels=True)
STEREO = np.stack([loud(0.1), -loud(0.1)], axis=1)


def flac(samples: np.ndarray[tuple[int, int], np.dtype[np.int16]] = STEREO) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="FLAC")
    return file.getvalue()


def record(
    payload: bytes, codec: AudioCodec = AudioCodec.PCM_S16LE, *, end: bool = False
) -> Record:
    return Log().append(
        AudioChunk("call", payload, codec=codec, rate=16_000, channels=2, seq=0, end=end)
    )


@pytest.fixture
async def sandbox() -> AsyncIterator[CodecSandbox]:
    async with CodecSandbox() as sandbox:
        yield sandbox


async def test_raw_audio_is_decoded_at_once(sandbox: CodecSandbox) -> None:
    found = RecordReader(sandbox, RULES).read(record(STEREO.tobytes()))
    assert isinstance(found, DecodedRecord)
    (chunk,) = found.chunks
    assert (chunk.rate, chunk.channels, len(chunk.samples)) == (16_000, 2, 1_600)


async def test_a_container_is_decoded_in_the_sandbox(sandbox: CodecSandbox) -> None:
    reader, container = RecordReader(sandbox, RULES), record(flac(), AudioCodec.FLAC)
    assert reader.read(container) is None
    found = await reader.decode(container)
    assert isinstance(found, DecodedRecord)
    inline = read_record(container, RULES)
    assert np.array_equal(found.chunks[0].samples, inline.chunks[0].samples)


async def test_split_channels_makes_a_chunk_of_each_channel(sandbox: CodecSandbox) -> None:
    reader = RecordReader(sandbox, SPLIT)
    raw = reader.read(record(STEREO.tobytes()))
    container = await reader.decode(record(flac(), AudioCodec.FLAC))
    for found in (raw, container):
        assert isinstance(found, DecodedRecord)
        assert [chunk.samples[0] for chunk in found.chunks] == [1_000, -1_000]


async def test_a_record_without_audio_needs_no_decoder(sandbox: CodecSandbox) -> None:
    found = RecordReader(sandbox, RULES).read(record(b"", AudioCodec.FLAC, end=True))
    assert isinstance(found, DecodedRecord)
    assert len(found.chunks[0].samples) == 0


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(b"\0" * 3), Reason.BAD_PAYLOAD),
        (record(STEREO.tobytes())._replace(key=None), Reason.BAD_STREAM_ID),
        (record(STEREO.tobytes())._replace(headers=(("rate", b"fast"),)), Reason.BAD_HEADER),
    ],
)
async def test_an_invalid_record_is_rejected_with_its_reason(
    sandbox: CodecSandbox, bad: Record, reason: Reason
) -> None:
    found = RecordReader(sandbox, RULES).read(bad)
    assert isinstance(found, RejectedRecord)
    assert (found.record, found.reason) == (bad, reason)
    assert found.message


async def test_a_container_that_cannot_be_decoded_is_rejected(sandbox: CodecSandbox) -> None:
    bad = record(b"fLaC" + bytes(100), AudioCodec.FLAC)
    found = await RecordReader(sandbox, RULES).decode(bad)
    assert isinstance(found, RejectedRecord)
    assert (found.record, found.reason) == (bad, Reason.BAD_PAYLOAD)


async def test_an_unexpected_exception_is_contained_to_its_record(sandbox: CodecSandbox) -> None:
    reader = RecordReader(sandbox, RULES)
    with raising(FaultStage.READ, lambda stream_id: stream_id == "call"), capture_logs() as lines:
        raw = reader.read(record(STEREO.tobytes()))
        container = await reader.decode(record(flac(), AudioCodec.FLAC))
    for found in (raw, container):
        assert isinstance(found, RejectedRecord)
        assert found.reason is Reason.INTERNAL_ERROR
        assert "StageError was raised for this record" in found.message
    assert [(line["error"], line["log_level"]) for line in lines] == [("StageError", "error")] * 2


def test_a_lack_of_memory_is_not_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("consumer.codecs.reader.decoded_record", exhausted)
    with pytest.raises(MemoryError):
        RecordReader(CodecSandbox(), RULES).read(record(STEREO.tobytes()))
