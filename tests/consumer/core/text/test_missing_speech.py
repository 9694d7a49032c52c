from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.utterance import WHISPER_RATE, Speech
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.missing_speech import (
    MissingSpeech,
    find_missing_speech,
    merged,
    transcribed,
)
from schemas.audio import Task

WINDOW_MS = 100


def clip(spoken: str) -> DecodeRequest:
    """Of one window a character: `#` is speech."""
    probabilities = tuple(0.9 if each == "#" else 0.1 for each in spoken)
    speech = Speech(1.0, 0.9, 0.5, probabilities, WINDOW_MS)
    samples = np.arange(len(spoken) * WHISPER_RATE * WINDOW_MS // 1000, dtype=np.float32)
    return DecodeRequest(samples, ("en",), speech=speech, words=True)


def text(*words: tuple[str, float, float], logprob: float = -0.2) -> Hypothesis:
    timed = tuple(TimedWord(*word, 0.9) for word in words)
    said = "".join(word.text for word in timed)
    tokens = tuple(range(len(timed)))
    return Hypothesis(said, "en", None, tokens, logprob, 0.0, 1.0, words=timed)


FRONT = text(("One", 0.0, 0.4), (" two.", 0.4, 0.9))  # of 3 s


def test_speech_behind_the_last_word_is_left_out():
    assert find_missing_speech(clip("#" * 30), FRONT) == MissingSpeech(0.9, 3.0, before=2)


def test_speech_before_the_first_word_is_left_out():
    behind = text(("Nine", 2.2, 2.5), (" ten.", 2.5, 3.0))
    assert find_missing_speech(clip("#" * 30), behind) == MissingSpeech(0.0, 2.2, before=0)


def test_a_word_that_is_stretched_over_seconds_was_said_at_its_end():
    stretched = text(("One", 0.0, 0.4), (" ten.", 0.4, 3.0))
    assert find_missing_speech(clip("#" * 30), stretched) == MissingSpeech(0.4, 2.7, before=1)


@pytest.mark.parametrize(
    "spoken",
    ["#########" + "." * 21, "#" * 20 + "." * 10, "#########...####...####...####"],
    ids=["a pause", "just a little", "in pieces"],
)
def test_a_pause_is_no_gap(spoken: str):
    assert find_missing_speech(clip(spoken), FRONT) is None


def test_words_of_a_sentence_cover_it():
    words = [(f" w{at}", at * 0.6, at * 0.6 + 0.3) for at in range(5)]
    assert find_missing_speech(clip("#" * 30), text(*words)) is None


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (replace(clip("#" * 30), speech=None), FRONT),
        (replace(clip("#" * 30), task=Task.TRANSLATE), FRONT),
        (replace(clip("#" * 30), padded=True), FRONT),
        (clip("#" * 30), replace(FRONT, words=None)),
        (clip("#" * 30), replace(FRONT, words=(), text="")),
        (clip("#" * 30), replace(FRONT, earlier=(FRONT,))),
    ],
    ids=["no detector", "translated", "a check", "no times", "no text", "not settled"],
)
def test_nobody_can_tell(asked: DecodeRequest, found: Hypothesis):
    assert find_missing_speech(asked, found) is None


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


class Script:
    """Writes a word for the first second of whatever it is given."""

    def __init__(self) -> None:
        self.heard: list[list[float]] = []

    def __call__(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        self.heard.append([one.seconds for one in clips])
        return [text((f"w{one.samples[0] / WHISPER_RATE:.0f}", 0.0, 1.0)) for one in clips]


def test_a_piece_may_have_a_gap_too():
    script = Script()
    first, second = transcribed([clip("#" * 40), clip("#" * 12)], script)
    assert first.text == "w0 w1 w2"
    assert second.text == "w0"
    assert script.heard == [[4.0, 1.2], [3.0], [2.0]]


def test_it_ends_where_a_text_never_covers_what_is_said():
    script = Script()
    transcribed([clip("#" * 150)], script)
    assert len(script.heard) == 4


def test_where_nothing_is_left_out_nothing_is_decoded_again():
    script = Script()
    transcribed([clip("#" * 12)] * 3, script)
    assert len(script.heard) == 1


SPOKEN = st.lists(st.sampled_from(["#" * 15, "#", ".", "." * 9]), min_size=1).map("".join)
TIMES = st.lists(st.floats(0.0, 5.0), min_size=2, max_size=12).map(sorted)


@given(SPOKEN, TIMES)
def test_a_gap_lies_in_the_clip_between_its_words(spoken: str, times: list[float]):
    words = [(" w", start, end) for start, end in zip(times[::2], times[1::2], strict=False)]
    asked = clip(spoken)
    if (gap := find_missing_speech(asked, text(*words))) is not None:
        assert 0 <= gap.start_s < gap.end_s
        assert all(end <= gap.start_s for _, _, end in words[: gap.before])
        assert all(end >= gap.end_s for _, _, end in words[gap.before :])
