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


def speech(spoken: str) -> Speech:
    """What a detector hears, of one window a character: `#` is speech."""
    probabilities = tuple(0.9 if each == "#" else 0.1 for each in spoken)
    return Speech(1.0, 0.9, 0.5, probabilities, WINDOW_MS)


def found(spoken: str, hypothesis: Hypothesis) -> MissingSpeech | None:
    return find_missing_speech(speech(spoken), len(spoken) * WINDOW_MS / 1000, hypothesis)


def text(*words: tuple[str, float, float], logprob: float = -0.2) -> Hypothesis:
    timed = tuple(TimedWord(*word, 0.9) for word in words)
    said = "".join(word.text for word in timed)
    tokens = tuple(range(len(timed)))
    return Hypothesis(said, "en", None, tokens, logprob, 0.0, 1.0, words=timed)


FRONT = text(("One", 0.0, 0.4), (" two.", 0.4, 0.9))  # of 3 s


def test_speech_behind_the_last_word_is_left_out():
    assert found("#" * 30, FRONT) == MissingSpeech(0.9, 3.0, before=2)


def test_speech_before_the_first_word_is_left_out():
    behind = text(("Nine", 2.2, 2.5), (" ten.", 2.5, 3.0))
    assert found("#" * 30, behind) == MissingSpeech(0.0, 2.2, before=0)


def test_a_word_that_is_stretched_over_seconds_was_said_at_its_end():
    stretched = text(("One", 0.0, 0.4), (" ten.", 0.4, 3.0))
    assert found("#" * 30, stretched) == MissingSpeech(0.4, 2.7, before=1)


@pytest.mark.parametrize(
    "spoken",
    ["#########" + "." * 21, "#" * 20 + "." * 10, "#########...####...####...####"],
    ids=["a pause", "just a little", "in pieces"],
)
def test_a_pause_is_no_gap(spoken: str):
    assert found(spoken, FRONT) is None


def test_words_of_a_sentence_cover_it():
    words = [(f" w{at}", at * 0.6, at * 0.6 + 0.3) for at in range(5)]
    assert found("#" * 30, text(*words)) is None


@pytest.mark.parametrize(
    "hypothesis",
    [
        replace(FRONT, words=None),
        replace(FRONT, words=(), text=""),
        replace(FRONT, earlier=(FRONT,)),
    ],
    ids=["no times", "no text", "not accepted"],
)
def test_where_it_cannot_be_told_nothing_is_left_out(hypothesis: Hypothesis):
    assert found("#" * 30, hypothesis) is None


def test_the_stretch_is_an_utterance_of_its_own():
    samples = np.arange(3 * RATE, dtype=np.int16)
    whole = Utterance(
        7, 1_000, 1_000 + 3 * RATE, 40_000, RATE, samples, EndReason.SILENCE, speech("#" * 30)
    )
    part = excerpt(whole, MissingSpeech(0.9, 3.0, before=2))
    assert (part.number, part.start, part.end) == (7, 1_000 + 14_400, 1_000 + 3 * RATE)
    assert part.samples.tolist() == samples[14_400:].tolist()
    assert len(part.speech.probabilities) == 21


def test_what_was_left_out_is_put_in_its_place():
    whole = merged(
        FRONT, MissingSpeech(0.9, 3.0, 2), text(("Three", 0.1, 0.5), (" four.", 0.5, 1.0))
    )
    assert whole.text == "One two. Three four."
    assert whole.words is not None
    assert "".join(word.text for word in whole.words) == whole.text
    assert whole.words[2] == TimedWord(" Three", 1.0, 1.4, 0.9)
    assert whole.avg_logprob == pytest.approx(-0.2)


def test_in_chinese_without_a_space():
    chinese = replace(text(("好", 0.0, 0.4)), language="zh")
    assert merged(chinese, MissingSpeech(0.4, 2.0, 1), text(("是", 0.0, 0.3))).text == "好是"


def test_a_stretched_word_shrinks_to_where_it_was_said():
    stretched = text(("One", 0.0, 0.4), (" ten.", 0.4, 3.0))
    whole = merged(stretched, MissingSpeech(0.4, 2.7, 1), text(("two", 0.1, 0.5)))
    assert whole.text == "One two ten."
    assert whole.words is not None
    assert (whole.words[2].start_s, whole.words[2].end_s) == (2.7, 3.0)


@pytest.mark.parametrize(
    "piece",
    [
        text(("Thanks", 0.0, 0.5), logprob=-0.9),
        replace(text(("Thanks", 0.0, 0.5)), no_speech_prob=0.5),
        replace(text(("Thanks", 0.0, 0.5)), earlier=(FRONT,)),
        replace(FRONT, words=(), text=""),
    ],
    ids=["a guess", "perhaps no speech", "does not stand", "nothing"],
)
def test_what_cannot_be_believed_is_not_put_in(piece: Hypothesis):
    assert merged(FRONT, MissingSpeech(0.9, 3.0, 2), piece) is FRONT


SPOKEN = st.lists(st.sampled_from(["#" * 15, "#", ".", "." * 9]), min_size=1).map("".join)
TIMES = st.lists(st.floats(0.0, 5.0), min_size=2, max_size=12).map(sorted)


@given(SPOKEN, TIMES)
def test_a_gap_lies_in_the_clip_between_its_words(spoken: str, times: list[float]):
    words = [(" w", start, end) for start, end in zip(times[::2], times[1::2], strict=False)]
    if (gap := found(spoken, text(*words))) is not None:
        assert 0 <= gap.start_s < gap.end_s
        assert all(end <= gap.start_s for _, _, end in words[: gap.before])
        assert all(end >= gap.end_s for _, _, end in words[gap.before :])
