from __future__ import annotations

from itertools import pairwise

import pytest

from bench.live.baseline import (
    LONGEST_MS,
    BaselineStream,
    BaselineUtterance,
    ended_event,
    final_event,
)
from bench.quality.recordings import read
from evaluation.samples import SAMPLES
from schemas.codec import decode_event, encode_event


def spans(pcm: bytes, step: int, endpoint_ms: int = 500) -> list[tuple[float, float]]:
    """Return start and end of the utterances in records of `step` bytes; seconds."""
    stream = BaselineStream("en", endpoint_ms)
    found = [u for at in range(0, len(pcm), step) for u in stream.push(pcm[at : at + step])]
    return [(u.start_s, u.end_s) for u in (*found, *stream.end())]


@pytest.fixture(scope="module")
def speech() -> bytes:
    """11 s of speech with silence before and after it."""
    silence = bytes(2 * 16_000)
    return silence + read(SAMPLES / "en_jfk.flac").tobytes() + 2 * silence


@pytest.mark.parametrize("step", [3200, 640, 1000, 7])
def test_utterances_do_not_depend_on_the_size_of_records(speech: bytes, step: int):
    assert spans(speech, step) == spans(speech, len(speech))


def test_utterances_contain_the_speech(speech: bytes):
    found = spans(speech, 3200)
    assert 1.0 <= found[0][0] < 1.6
    assert 11.5 < found[-1][1] <= 12.8
    assert all(before[1] <= after[0] for before, after in pairwise(found))


def test_silence_is_no_utterance():
    assert spans(bytes(10 * 32_000), 3200) == []


def test_an_utterance_is_cut_at_the_longest_length():
    speech = read(SAMPLES / "en_jfk.flac").tobytes()
    found = spans(speech * 4, 3200, endpoint_ms=2_000)
    assert max(end - start for start, end in found) == pytest.approx(LONGEST_MS / 1000)


def test_its_events_are_read_as_those_of_streamscribe():
    final = final_event("s", "en", BaselineUtterance(1.0, bytes(48_000)), "hello")
    assert (final.stream_id, final.start_s, final.end_s, final.text) == ("s", 1.0, 2.5, "hello")
    for event in (final, ended_event("s")):
        _, value, headers = encode_event(event)
        assert decode_event(headers, value) == event
