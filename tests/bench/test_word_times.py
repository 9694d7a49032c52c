from __future__ import annotations

import pytest

from bench.engines.catalog import Heard
from bench.word_times import Measured, Starts, apart, checks, faulty, figures, tables
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
    ("text", "heard", "bad"),
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
    text: str, heard: tuple[TimedWord, ...], bad: bool
):
    assert faulty(Heard(text, heard), 1.0) is bad


def test_near_is_a_share_of_the_words_that_both_wrote():
    assert Starts("x", "en", 9, (0.0, -0.06, 0.07, 0.02)).near(0.06) == 0.75


def test_the_check_is_against_the_alignment_of_the_same_text():
    starts = tuple(
        Starts(f"openai-whisper_{way}", "en", 3, (0.0, 0.5)) for way in ("alignment", "transcribe")
    )
    measured = Measured(starts, faults=1)
    faults, near = checks(measured)
    assert (faults.value, faults.ok) == (1, False)
    assert near.name == "en.word_starts_against_openai-whisper_alignment.within_60_ms"
    assert (near.value, near.ok) == (0.5, False)


def test_figures_and_table_say_how_many_words_were_compared():
    measured = Measured((Starts("x", "zh", 3, (0.0, 0.03)),), faults=0)
    assert figures(measured) == {
        "words.faulty_clips": 0,
        "zh.word_starts_against_x.words": 3,
        "zh.word_starts_against_x.matched": 2,
        "zh.word_starts_against_x.within_20_ms": 0.5,
        "zh.word_starts_against_x.within_60_ms": 1.0,
    }
    (shown,) = tables(measured)
    assert shown.row_count == 1
