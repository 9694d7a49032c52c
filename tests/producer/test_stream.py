from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from producer.media import AudioFormat
from producer.stream import OutgoingStream, PublishOptions
from schemas.audio import AudioCodec, StreamOptions

OPTIONS = StreamOptions(languages=("zh",))
MANNER = PublishOptions(AudioCodec.PCM_S16LE, chunk_ms=100, realtime=True, options=OPTIONS)


@given(st.lists(st.integers(0, 2_500), max_size=8), st.sampled_from([1, 2]))
def test_records_hold_every_sample_once_however_it_came(blocks: list[int], channels: int) -> None:
    stream = OutgoingStream("call-1", AudioFormat(8_000, channels), MANNER)
    samples = np.arange(sum(blocks) * channels, dtype=np.int16).reshape(-1, channels)
    parts = np.split(samples, np.cumsum(blocks)[:-1]) if blocks else []
    cuts = [cut for part in parts for cut in stream.push(part)] + [stream.finish()]

    assert b"".join(cut.chunk.payload for cut in cuts) == samples.tobytes()
    assert [cut.chunk.seq for cut in cuts] == list(range(len(cuts)))
    assert [cut.chunk.start for cut in cuts] == [cut.start for cut in cuts]
    assert [cut.start for cut in cuts[1:]] == [cut.end for cut in cuts[:-1]]
    assert all(cut.end - cut.start == 800 for cut in cuts[:-1])
    assert cuts[-1].end - cuts[-1].start < 800
    assert [cut.chunk.end for cut in cuts] == [False] * (len(cuts) - 1) + [True]
    assert [cut.chunk.options for cut in cuts] == [OPTIONS] + [StreamOptions()] * (len(cuts) - 1)
    assert stream.records == len(cuts)
    assert stream.seconds == sum(blocks) / 8_000


def test_a_stream_that_is_broken_off_ends_where_it_was_sent_to() -> None:
    stream = OutgoingStream("call-1", AudioFormat(8_000, 1), MANNER)
    cuts = stream.push(np.ones((2_000, 1), np.int16))
    next(cuts)
    stream.drop_rest()
    last = stream.finish()
    assert (last.start, last.end) == (800, 800)
    assert (last.chunk.payload, last.chunk.end, last.chunk.seq) == (b"", True, 1)


def test_nothing_to_send_is_known() -> None:
    stream = OutgoingStream("call-1", AudioFormat(8_000, 1), MANNER)
    assert stream.empty
    assert not list(stream.push(np.ones((1, 1), np.int16)))
    assert not stream.empty
