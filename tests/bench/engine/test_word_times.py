from __future__ import annotations

import pytest

from bench.engine.engines.catalog import EngineText
from bench.engine.word_times import WordStarts, WordTimesResult, apart, is_faulty
from consumer.core.text.hypothesis import TimedWord


def words(*starts: tuple[str, float]) -> tuple[TimedWord, ...]:
    return tuple(TimedWord(text, start, start + 0.1, 1.0) for text, start in starts)


def test_words_that_both_wrote_are_compared_whatever_their_punctuation():
    ours = words(("Ask", 0.0), (" not,", 0.5), (" what", 1.0), (" country", 1.5))
    theirs = words((" Ask", 0.1), (" what", 0.98), (" your", 1.2), (" country.", 1.5))
    assert [*apart(ours, theirs, "en")] == pytest.approx([-0.1, 0.02, 0.0])


def test_chinese_words_are_compared_in_one_script():
    assert [*apart(words(("現在", 0.2)), words(("现在", 0.1)), "zh")] == pytest.approx([0.1])


@pytest.mark.parametrize(
    ("text", "timed", "faulty"),
    [
        ("Ask not", words(("Ask", 0.0), (" not", 0.1)), False),
        ("Ask not", words(("Ask", 0.0), (" not", 0.05)), True),
        ("Ask not", words(("Ask", 0.0), (" not", 0.95)), True),
        ("Ask not", words(("Ask", -0.1), (" not", 0.1)), True),
        ("Ask not", words(("Ask", 0.0), ("not", 0.1)), True),
        ("Ask", (TimedWord("Ask", 0.5, 0.4, 1.0),), True),
        ("", (), False),
    ],
)
def test_faults_are_overlaps_words_outside_and_texts_that_do_not_join(
    text: str, timed: tuple[TimedWord, ...], faulty: bool
):
    assert is_faulty(EngineText(text, timed), 1.0) is faulty


def test_near_is_a_share_of_the_words_that_both_wrote():
    assert WordStarts("alignment", "en", 9, (0.0, -0.06, 0.07, 0.02)).near(0.06) == 0.75


def test_the_check_is_against_the_alignment_of_the_same_text():
    starts = tuple(
        WordStarts(reference, "en", 3, (0.0, 0.5)) for reference in ("alignment", "transcribe")
    )
    faulty, near = WordTimesResult(starts, faulty=1).checks()
    assert (faulty.value, faulty.ok) == (1, False)
    assert near.name == "en.word_starts_against_openai-whisper_alignment.within_60_ms"
    assert (near.value, near.ok) == (0.5, False)


def test_figures_have_the_number_of_compared_words():
    result = WordTimesResult((WordStarts("alignment", "zh", 3, (0.0, 0.03)),), faulty=0)
    assert result.figures() == {
        "words.faulty_clips": 0,
        "zh.word_starts_against_openai-whisper_alignment.words": 3,
        "zh.word_starts_against_openai-whisper_alignment.matched": 2,
        "zh.word_starts_against_openai-whisper_alignment.within_20_ms": 0.5,
        "zh.word_starts_against_openai-whisper_alignment.within_60_ms": 1.0,
    }
