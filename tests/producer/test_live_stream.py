from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.live_stream import LiveStream
from schemas.audio import MAX_POSITION, AudioChunk, AudioCodec, StreamOptions

OPTIONS = StreamOptions(languages=("en",))
MS = 8  # bytes of µ-law at 8 kHz


def stream(codec: AudioCodec = AudioCodec.PCM_MULAW, channels: int = 1) -> LiveStream:
    return LiveStream("call-1", codec, 8_000, channels, run="run-1", options=OPTIONS)


def ranges(chunks: list[AudioChunk]) -> list[tuple[int | None, int]]:
    """Return the position and the length in ms of records of µ-law."""
    return [(chunk.start, len(chunk.payload) // MS) for chunk in chunks]


@given(
    st.lists(st.binary(max_size=1_000), min_size=1, max_size=20),
    st.sampled_from([AudioCodec.PCM_MULAW, AudioCodec.PCM_S16LE, AudioCodec.PCM_F32LE]),
    st.sampled_from([1, 2]),
)
def test_every_sample_is_in_one_record_for_any_pieces(
    pieces: list[bytes], codec: AudioCodec, channels: int
) -> None:
    live = stream(codec, channels)
    chunks = [chunk for piece in pieces for chunk in live.push(piece)]
    chunks += live.finish()
    audio = b"".join(pieces)
    frame = {"pcm_mulaw": 1, "pcm_s16le": 2, "pcm_f32le": 4}[codec] * channels
    whole = len(audio) // frame * frame
    assert b"".join(chunk.payload for chunk in chunks) == audio[:whole]
    assert [chunk.end for chunk in chunks] == [False] * (len(chunks) - 1) + [True] * bool(chunks)
    assert bool(chunks) == bool(audio)
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.start for chunk in chunks] == [800 * n for n in range(len(chunks))]
    assert all(len(chunk.payload) == 800 * frame for chunk in chunks[:-1])
    assert {chunk.run for chunk in chunks} <= {"run-1"}
    assert [chunk.options for chunk in chunks[:1]] == [OPTIONS] * len(chunks[:1])
    assert {chunk.options for chunk in chunks[1:]} <= {StreamOptions()}


def test_audio_begins_at_its_stated_position() -> None:
    live = stream()
    chunks = [*live.push(bytes(150 * MS), start=40), *live.finish()]
    assert ranges(chunks) == [(40, 100), (840, 50)]


def test_missing_audio_is_seen_by_the_position_of_the_next_record() -> None:
    live = stream()
    chunks = [*live.push(bytes(120 * MS), start=0), *live.push(bytes(100 * MS), start=320 * MS)]
    chunks += live.finish()
    assert ranges(chunks) == [(0, 100), (100 * MS, 20), (320 * MS, 100), (420 * MS, 0)]
    assert [chunk.seq for chunk in chunks] == [0, 1, 2, 3]


@pytest.mark.parametrize("jitter_ms", [-120, -20, 0, 60])
def test_audio_follows_at_a_position_that_jitters(jitter_ms: int) -> None:
    live = stream()
    chunks = [*live.push(bytes(120 * MS), start=0)]
    chunks += live.push(bytes(80 * MS), start=(120 + jitter_ms) * MS)
    assert ranges(chunks) == [(0, 100), (100 * MS, 100)]


def test_a_gap_that_follows_an_incomplete_sample_drops_it() -> None:
    live = stream(AudioCodec.PCM_S16LE)
    chunks = [*live.push(b"\1\2\3", start=0), *live.push(b"\4\5", start=8_000), *live.finish()]
    assert [(chunk.start, chunk.payload) for chunk in chunks] == [(0, b"\1\2"), (8_000, b"\4\5")]


@pytest.mark.parametrize("start", [-1, MAX_POSITION + 1])
def test_a_position_that_is_out_of_range_adds_nothing(start: int) -> None:
    live = stream()
    with pytest.raises(ValueError, match=f"start is {start}"):
        list(live.push(bytes(20 * MS), start=start))
    assert list(live.finish()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stream_id": "call 1"}, "key"),
        ({"codec": AudioCodec.FLAC}, "flac is no raw audio"),
        ({"rate": 96_000}, "resample"),
        ({"run": "run 1"}, "run"),
        ({"options": StreamOptions(endpoint_ms=5)}, "endpoint_ms"),
    ],
)
def test_what_the_worker_would_reject_is_an_error(wrong: dict[str, object], message: str) -> None:
    right = {"stream_id": "call-1", "codec": AudioCodec.PCM_MULAW, "rate": 8_000, "run": "run-1"}
    with pytest.raises(ValueError, match=message):
        LiveStream(**(right | wrong))  # type: ignore[arg-type]
