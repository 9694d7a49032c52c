from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from spoken_finals import gap, spoken, suppressed

from captions.cues import Cue, cues
from captions.line_breaks import FULL_LINE, width
from captions.timeline import clean, segments
from schemas.transcript import TranscriptFinal, Word

LEAD_MS = 500
CLOSING = set("，。！？；：、）」』】》〉”’…")


def cues_of(*finals: TranscriptFinal) -> list[Cue]:
    return [*cues(segments(finals))]


def shown(*finals: TranscriptFinal) -> list[list[str]]:
    return [cue.texts for cue in cues_of(*finals)]


def times(*finals: TranscriptFinal) -> list[tuple[int, int]]:
    return [(cue.start_ms, cue.end_ms) for cue in cues_of(*finals)]


def bare(text: str) -> str:
    return "".join(text.split())


LATIN = st.text("abcdefgh", min_size=1, max_size=12)
MARKED = st.builds("{}{}".format, LATIN, st.sampled_from(["", "", "", ",", ".", "?", "...", "!"]))
HAN = st.text("的一是不了人我在有他这为之大来以个中上们", min_size=1, max_size=12)
CLAUSE = st.builds("{}{}".format, HAN, st.sampled_from(["，", "。", "！", "（AI）", "”", ""]))
SENTENCES = st.one_of(
    st.lists(MARKED, min_size=1, max_size=30).map(" ".join),
    st.lists(CLAUSE, min_size=1, max_size=8).map("".join),
    st.lists(st.one_of(MARKED, CLAUSE), min_size=1, max_size=8).map(" ".join),
)


@st.composite
def speech(draw: st.DrawFn, texts: st.SearchStrategy[str] = SENTENCES) -> list[TranscriptFinal]:
    """Return finals that follow each other, some of which have words."""
    finals, now_s = [], 0.0
    for text in draw(st.lists(texts, min_size=1, max_size=4)):
        start_s = now_s + draw(st.floats(0, 3))
        now_s = start_s + draw(st.floats(0.05, 15))
        final = spoken(text, start_s, now_s)
        finals.append(final if draw(st.booleans()) else spoken(text, start_s, now_s, words=None))
    return finals


@given(finals=speech())
def test_all_words_are_shown_in_their_order(finals: list[TranscriptFinal]):
    text = "".join("".join(lines) for lines in shown(*finals))
    assert bare(text) == bare("".join(final.text for final in finals))


@given(finals=speech())
def test_a_cue_has_one_or_two_lines_and_none_is_too_wide_or_empty(finals: list[TranscriptFinal]):
    for lines in shown(*finals):
        assert 1 <= len(lines) <= 2
        assert all(line == line.strip() != "" for line in lines)
        assert all(width(line) <= FULL_LINE for line in lines)


@given(finals=speech())
def test_no_cue_overlaps_another(finals: list[TranscriptFinal]):
    found = times(*finals)
    assert all(start < end for start, end in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))


@given(finals=speech())
def test_a_cue_is_too_short_to_read_only_where_the_speech_leaves_no_time(
    finals: list[TranscriptFinal],
):
    found = cues_of(*finals)
    ends = [0, *(cue.end_ms for cue in found)]
    starts = [*(cue.start_ms for cue in found), None]
    for at, cue in enumerate(found):
        if cue.end_ms - cue.start_ms < cue.reading_ms:
            spoken_ms = round(cue.lines[0][0].start_s * 1_000)
            assert cue.start_ms in {ends[at], spoken_ms - LEAD_MS}
            following = round(found[at + 1].lines[0][0].start_s * 1_000)
            assert cue.end_ms in {following, cue.start_ms + 1} or starts[at + 1] == cue.end_ms


@given(finals=speech())
def test_a_cue_is_shown_while_its_words_are_spoken(finals: list[TranscriptFinal]):
    for cue, after in pairwise([*cues_of(*finals), None]):
        assert cue
        first, last = cue.lines[0][0], cue.lines[-1][-1]
        assert round(first.start_s * 1_000) - LEAD_MS <= cue.start_ms
        if after:
            assert cue.end_ms >= min(round(last.end_s * 1_000), after.start_ms)


@given(finals=speech(st.lists(CLAUSE, min_size=1, max_size=8).map("".join)))
def test_no_line_of_chinese_begins_with_a_closing_or_ends_with_an_opening_mark(
    finals: list[TranscriptFinal],
):
    for line in (line for lines in shown(*finals) for line in lines):
        assert line[0] not in CLOSING
        assert line[-1] not in "（「“"


@given(text=st.text(max_size=120), seconds=st.floats(0, 100))
@example(text="a" * 300, seconds=1.0)
@example(text="，" * 300, seconds=1.0)
@example(text="a" + "\u0301" * 300, seconds=1.0)
@example(text="\u200b", seconds=1.0)
def test_any_text_is_kept_within_the_limits(text: str, seconds: float):
    lines = [line for found in shown(spoken(text, 0, seconds)) for line in found]
    assert bare("".join(lines)) == bare(clean(text))
    assert all(width(line) <= FULL_LINE for line in lines)


@given(
    spans=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=8)
)
def test_words_with_impossible_times_make_no_overlap(spans: Sequence[tuple[float, float]]):
    words = tuple(Word("word", start_s, end_s, 0.5) for start_s, end_s in spans)
    found = times(spoken(" ".join(["word"] * len(spans)), 0, 1, words=words))
    assert found[0][0] >= 0
    assert all(start < end for start, end in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))


SPEECH = (
    "And so, my fellow Americans: ask not what your country can do for you, "
    "ask what you can do for your country."
)
FIRST = "And so, my fellow Americans:"
SECOND = "ask not what your country."


def test_english_is_divided_at_clauses():
    assert shown(spoken(SPEECH, 0, 8)) == [
        ["And so, my fellow Americans:"],
        ["ask not what your country can do for you,", "ask what you can do for your country."],
    ]


def test_chinese_is_divided_at_clauses_by_full_width_columns():
    text = "现在这个部门，还在研究“月球探测器”和自动驾驶汽车（AI）。他说明现在我们很有危机感。"
    assert shown(spoken(text, 0, 9)) == [
        ["现在这个部门，还在研究“月球", "探测器”和自动驾驶汽车（AI）。"],
        ["他说明现在我们很有危机感。"],
    ]


def test_a_pause_divides_a_text_without_punctuation():
    words = tuple(
        Word(text, at + (3 if at > 3 else 0), at + (4 if at > 3 else 1), 0.9)
        for at, text in enumerate(["one", "two", "three", "four", "five", "six", "seven"])
    )
    assert shown(spoken("one two three four five six seven", 0, 10, words=words)) == [
        ["one two three four"],
        ["five six seven"],
    ]


def test_korean_words_are_kept_whole():
    text = "한국어 문장은 " * 6
    lines = [line for found in shown(spoken(text, 0, 9)) for line in found]
    assert {word for line in lines for word in line.split()} == {"한국어", "문장은"}


def test_times_are_those_of_the_words():
    words = (
        *(Word(word, 10 + at, 10.5 + at, 0.9) for at, word in enumerate(FIRST.split())),
        *(Word(word, 20 + at, 20.5 + at, 0.9) for at, word in enumerate(SECOND.split())),
    )
    found = times(spoken(f"{FIRST} {SECOND}", 9.7, 25, words=words))
    assert found == [(10_000, 14_500), (20_000, 24_500)]


def test_a_short_cue_stays_until_it_can_be_read():
    assert times(spoken("Yes.", 5, 5.2)) == [(5_000, 5_800)]


def test_a_short_cue_comes_early_where_the_next_one_leaves_no_time():
    assert times(spoken("Yes.", 5, 5.2), spoken("No.", 5.4, 7))[0] == (4_600, 5_400)


def test_a_short_cue_between_two_others_keeps_clear_of_them():
    found = times(spoken("One.", 0, 5), spoken("Yes.", 5, 5.2), spoken("No.", 5.4, 7))
    assert found == [(0, 5_000), (5_000, 5_400), (5_400, 7_000)]


def test_a_fast_stretch_is_shown_with_what_is_slow():
    """Divided at the sentence, the second cue would be shown for 0.1 s."""
    words = (Word("Slowly.", 0, 2, 0.9), Word("Go.", 2, 2.1, 0.9))
    first, _ = cues_of(spoken("Slowly. Go.", 0, 2.1, words=words), spoken("Then.", 2.1, 4))
    assert first.texts == ["Slowly. Go."]


def test_a_word_whose_place_is_not_found_leaves_the_others_their_times():
    words = (Word("one", 0, 1, 0.9), Word("2", 1, 2, 0.9), Word("three", 2, 3, 0.9))
    (cue,) = cues_of(spoken("one two three", 0, 3, words=words))
    starts = [(piece.start_s, piece.is_measured) for piece in cue.lines[0]]
    assert starts == [(0, True), (2, False), (2, True)]


@pytest.mark.parametrize("event", [gap(0, 1), suppressed(0, 1), spoken("", 0, 1)])
def test_what_has_no_text_has_no_cue(event: TranscriptFinal):
    assert not cues_of(event)
