from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import RATE
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.missing_speech import (
    MissingSpeech,
    excerpt,
    find_missing_speech,
    merged,
)

WINDOW_MS = 100


def speech(windows: str) -> Speech:
    """Return detector scores, one window per character; `#` is speech."""
    probabilities = tuple(0.9 if each == "#" else 0.1 for each in windows)
    return Speech(1.0, 0.9, 0.5, probabilities, WINDOW_MS)


def missing_speech(windows: str, hypothesis: Hypothesis) -> MissingSpeech | None:
    return find_missing_speech(speech(windows), len(windows) * WINDOW_MS / 1000, hypothesis)


def text(*words: tuple[str, float, float], logprob: float = -0.2) -> Hypothesis:
    timed = tuple(TimedWord(*word, 0.9) for word in words)
    content = "".join(word.text for word in timed)
    tokens = tuple(range(len(timed)))
    return Hypothesis(content, "en", None, tokens, logprob, 0.0, 1.0, words=timed)


FRONT = text(("One", 0.0, 0.4), (" two.", 0.4, 0.9))  # of 3 s


def test_speech_after_the_last_word_is_missing():
    assert missing_speech("#" * 30, FRONT) == MissingSpeech(0.9, 3.0, before=2)


def test_speech_before_the_first_word_is_missing():
    late = text(("Nine", 2.2, 2.5), (" ten.", 2.5, 3.0))
    assert missing_speech("#" * 30, late) == MissingSpeech(0.0, 2.2, before=0)


def test_a_word_that_spans_seconds_is_placed_at_its_end():
    stretched = text(("One", 0.0, 0.4), (" ten.", 0.4, 3.0))
    assert missing_speech("#" * 30, stretched) == MissingSpeech(0.4, 2.7, before=1)


@pytest.mark.parametrize(
    "windows",
    ["#########" + "." * 21, "#" * 20 + "." * 10, "#########...####...####...####"],
    ids=["a pause", "just a little", "in pieces"],
)
def test_a_pause_is_no_missing_speech(windows: str):
    assert missing_speech(windows, FRONT) is None


def test_words_of_a_sentence_cover_its_speech():
    words = [(f" w{at}", at * 0.6, at * 0.6 + 0.3) for at in range(5)]
    assert missing_speech("#" * 30, text(*words)) is None


@pytest.mark.parametrize(
    "hypothesis",
    [
        replace(FRONT, words=None),
        replace(FRONT, words=(), text=""),
        replace(FRONT, earlier=(FRONT,)),
    ],
    ids=["no times", "no text", "not accepted"],
)
def test_without_accepted_word_times_no_speech_is_missing(hypothesis: Hypothesis):
    assert missing_speech("#" * 30, hypothesis) is None


def test_an_excerpt_is_an_utterance_of_its_own():
    samples = np.arange(3 * RATE, dtype=np.int16)
    whole = Utterance(
        7, 1_000, 1_000 + 3 * RATE, 40_000, RATE, samples, EndReason.SILENCE, speech("#" * 30)
    )
    part = excerpt(whole, MissingSpeech(0.9, 3.0, before=2))
    assert (part.number, part.start, part.end) == (7, 1_000 + 14_400, 1_000 + 3 * RATE)
    assert part.samples.tolist() == samples[14_400:].tolist()
    assert len(part.speech.probabilities) == 21


def test_the_text_of_an_excerpt_is_inserted_in_its_place():
    whole = merged(
        FRONT, MissingSpeech(0.9, 3.0, 2), text(("Three", 0.1, 0.5), (" four.", 0.5, 1.0))
    )
    assert whole.text == "One two. Three four."
    assert whole.words is not None
    assert "".join(word.text for word in whole.words) == whole.text
    assert whole.words[2] == TimedWord(" Three", 1.0, 1.4, 0.9)
    assert whole.avg_logprob == pytest.approx(-0.2)


def test_in_chinese_it_is_inserted_without_a_space():
    chinese = replace(text(("好", 0.0, 0.4)), language="zh")
    assert merged(chinese, MissingSpeech(0.4, 2.0, 1), text(("是", 0.0, 0.3))).text == "好是"


def test_a_stretched_word_is_shortened_to_its_end():
    stretched = text(("One", 0.0, 0.4), (" ten.", 0.4, 3.0))
    whole = merged(stretched, MissingSpeech(0.4, 2.7, 1), text(("two", 0.1, 0.5)))
    assert whole.text == "One two ten."
    assert whole.words is not None
    assert (whole.words[2].start_s, whole.words[2].end_s) == (2.7, 3.0)


@pytest.mark.parametrize(
    "part",
    [
        text(("Thanks", 0.0, 0.5), logprob=-0.9),
        replace(text(("Thanks", 0.0, 0.5)), no_speech_prob=0.5),
        replace(text(("Thanks", 0.0, 0.5)), earlier=(FRONT,)),
        replace(FRONT, words=(), text=""),
    ],
    ids=["a guess", "perhaps no speech", "not accepted", "nothing"],
)
def test_a_doubtful_text_is_not_inserted(part: Hypothesis):
    assert merged(FRONT, MissingSpeech(0.9, 3.0, 2), part) is FRONT


WINDOWS = st.lists(st.sampled_from(["#" * 15, "#", ".", "." * 9]), min_size=1).map("".join)
TIMES = st.lists(st.floats(0.0, 5.0), min_size=2, max_size=12).map(sorted)


@given(WINDOWS, TIMES)
def test_missing_speech_lies_between_words_of_the_clip(windows: str, times: list[float]):
    words = [(" w", start, end) for start, end in zip(times[::2], times[1::2], strict=False)]
    if (missing := missing_speech(windows, text(*words))) is not None:
        assert 0 <= missing.start_s < missing.end_s
        assert all(end <= missing.start_s for _, _, end in words[: missing.before])
        assert all(end >= missing.end_s for _, _, end in words[missing.before :])
