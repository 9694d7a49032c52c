from __future__ import annotations

from itertools import pairwise

import pytest

from bench.cutting import read
from bench.live.naive import LONGEST_MS, Stream
from evaluation.samples import SAMPLES


def heard(pcm: bytes, step: int, endpoint_ms: int = 500) -> list[tuple[float, float]]:
    stream = Stream("s", "en", endpoint_ms)
    found = [u for at in range(0, len(pcm), step) for u in stream.push(pcm[at : at + step])]
    return [(u.start_s, u.end_s) for u in (*found, *stream.end())]


@pytest.fixture(scope="module")
def speech() -> bytes:
    """11 s of speech, silence around it."""
    silence = bytes(2 * 16_000)
    return silence + read(SAMPLES / "en_jfk.flac").tobytes() + 2 * silence


@pytest.mark.parametrize("step", [3200, 640, 1000, 7])
def test_any_records_make_the_same_utterances(speech: bytes, step: int):
    assert heard(speech, step) == heard(speech, len(speech))


def test_utterances_hold_the_speech(speech: bytes):
    spans = heard(speech, 3200)
    assert 1.0 <= spans[0][0] < 1.6
    assert 11.5 < spans[-1][1] <= 12.8
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_silence_is_no_utterance():
    assert heard(bytes(10 * 32_000), 3200) == []


def test_the_longest_utterance_is_cut():
    tone = read(SAMPLES / "en_jfk.flac").tobytes()
    spans = heard(tone * 4, 3200, endpoint_ms=2_000)
    assert max(end - start for start, end in spans) == pytest.approx(LONGEST_MS / 1000)
