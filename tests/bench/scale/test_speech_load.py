from __future__ import annotations

import numpy as np
import pytest

from bench.host.looped_speech import RECORD_MS, looped
from bench.scale.speech_load import SpokenClip, SpokenStream, spoken_clip
from consumer.detection import cascade
from consumer.settings import Detector
from evaluation.samples import load_samples
from schemas.audio import StreamOptions
from schemas.codec import decode_audio

SECONDS = 20.0


@pytest.fixture(scope="module")
def spoken() -> SpokenClip:
    clip = looped(load_samples()[0], pause_s=3.0)
    return spoken_clip(clip, SECONDS, cascade.load(Detector.CASCADE))


def test_the_payloads_are_whole_records_of_the_clip(spoken: SpokenClip):
    size = spoken.clip.rate * RECORD_MS // 1000 * np.dtype(np.int16).itemsize
    assert {len(payload) for payload in spoken.payloads} == {size}
    assert b"".join(spoken.payloads) == spoken.clip.samples.tobytes()


def test_each_utterance_is_decided_after_its_end_and_before_the_next_one(spoken: SpokenClip):
    size = spoken.clip.rate * RECORD_MS // 1000
    decided = [utterance.decided_in for utterance in spoken.utterances]
    assert len(decided) >= int(SECONDS / spoken.clip.seconds)
    assert decided == sorted(set(decided))
    for utterance in spoken.utterances:
        assert utterance.end <= (utterance.decided_in + 1) * size


def test_records_decode_to_the_repeated_clip_with_their_numbers(spoken: SpokenClip):
    stream = SpokenStream(7, spoken, StreamOptions(partials=True))
    count = len(spoken.payloads) + 2
    chunks = [decode_audio(*stream.record(number, 1_700_000_000_000)) for number in range(count)]
    assert b"".join(chunk.payload for chunk in chunks) == (
        b"".join(spoken.payloads) + b"".join(spoken.payloads[:2])
    )
    assert [chunk.seq for chunk in chunks] == [*range(count)]
    size = spoken.clip.rate * RECORD_MS // 1000
    assert [chunk.start for chunk in chunks] == [number * size for number in range(count)]
    assert [chunk.options.partials for chunk in chunks] == [True] + [None] * (count - 1)
    assert not any(chunk.problems for chunk in chunks)
