"""The engine with a small model of random weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attempts import essence, one_attempt_a_call
from small_whisper import CPU, checkpoint_of, small_whisper

from consumer.core.audio.utterance import Float32Array
from consumer.core.scheduling.capacity import BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference.mel import amplitudes
from consumer.inference.whisper_engine import WhisperTranscriber

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(seconds: float, seed: int = 0) -> Float32Array:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(round(seconds * 16_000))).astype(np.float32)


@pytest.fixture(scope="module")
def small() -> WhisperTranscriber:
    return WhisperTranscriber(
        checkpoint_of(small_whisper()), CPU, fold=True, limits=BatchLimits(3, 8192)
    )


def test_a_text_without_end_stops_at_the_token_limit(small: WhisperTranscriber):
    (hypothesis,) = small.transcribe([DecodeRequest(noise(1.0), ("en",))])
    assert len(hypothesis.tokens) == 16  # half of the text positions


def test_one_attempt_a_call_gives_the_texts_of_one_call(small: WhisperTranscriber):
    """The clips of a call are at different fallback steps, with and without word times."""
    clips = [
        DecodeRequest(noise(0.5 + n, seed=n), ("en", "de")[: 1 + n % 2], words=n == 2)
        for n in range(5)
    ]
    clips.append(DecodeRequest(noise(1.0, seed=9), ("en",), padded=True))
    texts, calls = one_attempt_a_call(small, clips)
    assert [essence(text) for text in texts] == [essence(t) for t in small.transcribe(clips)]
    assert calls == [6, 6, 5]


def test_a_text_that_is_not_accepted_has_all_attempts_in_earlier(small: WhisperTranscriber):
    clip = DecodeRequest(noise(1.0), ("en",), once=True)
    (first,) = small.transcribe([clip])
    (second,) = small.transcribe([replace(clip, earlier=first.earlier)])
    assert [(text.folded, text.temperature) for text in second.earlier] == [(True, 0), (False, 0)]
    assert first.earlier == second.earlier[:1]
    (third,) = small.transcribe([replace(clip, earlier=second.earlier)])
    assert third.earlier == ()


def test_drawn_tokens_do_not_depend_on_the_batch(small: WhisperTranscriber):
    clips = [DecodeRequest(noise(0.5 + n, seed=n), ("en",), words=n == 2) for n in range(5)]
    together = small.transcribe(clips)
    alone = [small.transcribe([clip])[0] for clip in clips]
    assert [h.tokens for h in together] == [h.tokens for h in alone]
    assert len({h.tokens for h in together}) > 1


def test_recorded_samples_give_the_texts_of_their_amplitudes(small: WhisperTranscriber):
    """Those drawn at higher temperatures, too: their seed is that of the amplitudes."""
    clips = [(32_768 * noise(0.5 + n, seed=n)).astype(np.int16) for n in range(3)]
    recorded = small.transcribe([DecodeRequest(clip, ("en",)) for clip in clips])
    given = small.transcribe([DecodeRequest(amplitudes(clip), ("en",)) for clip in clips])
    assert recorded == given


def test_no_clips_give_no_hypotheses(small: WhisperTranscriber):
    assert small.transcribe([]) == []


@pytest.mark.parametrize("samples", [0, 480_001])
def test_a_clip_of_invalid_length_is_rejected(small: WhisperTranscriber, samples: int):
    with pytest.raises(ValueError, match="1 to 480000"):
        small.transcribe([DecodeRequest(np.zeros(samples, np.float32))])


def test_an_unknown_language_is_rejected(small: WhisperTranscriber):
    with pytest.raises(ValueError, match="has no language xx"):
        small.transcribe([DecodeRequest(noise(1.0), ("xx", "en"))])
