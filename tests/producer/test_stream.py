from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from producer.formats import AudioFormat
from producer.stream import OutgoingStream, PublishOptions
from schemas.audio import AudioCodec, StreamOptions

OPTIONS = StreamOptions(languages=("zh",))
PUBLISH_OPTIONS = PublishOptions(AudioCodec.PCM_S16LE, chunk_ms=100, realtime=True, options=OPTIONS)


@given(st.lists(st.integers(0, 2_500), max_size=8), st.sampled_from([1, 2]))
def test_every_sample_is_in_one_chunk_for_any_block_sizes(blocks: list[int], channels: int) -> None:
    stream = OutgoingStream("call-1", AudioFormat(8_000, channels), PUBLISH_OPTIONS)
    samples = np.arange(sum(blocks) * channels, dtype=np.int16).reshape(-1, channels)
    parts = np.split(samples, np.cumsum(blocks)[:-1]) if blocks else []
    chunks = [timed for part in parts for timed in stream.push(part)] + [stream.finish()]
    assert b"".join(timed.chunk.payload for timed in chunks) == samples.tobytes()
    assert [timed.chunk.seq for timed in chunks] == list(range(len(chunks)))
    assert [timed.chunk.start for timed in chunks] == [timed.start for timed in chunks]
    assert [timed.start for timed in chunks[1:]] == [timed.end for timed in chunks[:-1]]
    assert all(timed.end - timed.start == 800 for timed in chunks[:-1])
    assert chunks[-1].end - chunks[-1].start < 800
    assert [timed.chunk.end for timed in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [timed.chunk.options for timed in chunks] == [OPTIONS] + [StreamOptions()] * (
        len(chunks) - 1
    )
    assert stream.records == len(chunks)
    assert stream.seconds == sum(blocks) / 8_000


def test_a_stream_ended_early_ends_after_the_last_sent_chunk() -> None:
    stream = OutgoingStream("call-1", AudioFormat(8_000, 1), PUBLISH_OPTIONS)
    chunks = stream.push(np.ones((2_000, 1), np.int16))
    next(chunks)
    stream.drop_rest()
    last = stream.finish()
    assert (last.start, last.end) == (800, 800)
    assert (last.chunk.payload, last.chunk.end, last.chunk.seq) == (b"", True, 1)


def test_a_stream_is_empty_until_it_gets_samples() -> None:
    stream = OutgoingStream("call-1", AudioFormat(8_000, 1), PUBLISH_OPTIONS)
    assert stream.empty
    assert not list(stream.push(np.ones((1, 1), np.int16)))
    assert not stream.empty
