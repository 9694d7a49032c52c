from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from captions.line_breaks import FULL_LINE, pieces, uax14_words, width, words

MIXED = st.text("aB7 ，。！（）「」、：.-的一是不了人", max_size=40).map(
    lambda text: " ".join(text.split())
)


@given(text=MIXED)
@example(text="用Python写（AI）。「你好！」 state-of-the-art 50，3")
def test_the_short_way_gives_the_breaks_of_uax_14(text: str):
    assert [*words(text)] == uax14_words(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("And so, my (fellow) don't", ["And ", "so, ", "my ", "(fellow) ", "don't"]),
        ("state-of-the-art a/b 3.5%", ["state-of-the-art ", "a/b ", "3.5%"]),
        ("研究“月球”（AI）。", ["研", "究", "“月", "球”", "（AI）。"]),
        ("他说：「你好！」", ["他", "说：", "「你", "好！」"]),
        ("用Python写", ["用", "Python", "写"]),
        ("あっちょっと", ["あっ", "ちょっ", "と"]),
        ("한국어 문장은", ["한국어 ", "문장은"]),
        ("bonjour « oui » !", ["bonjour ", "« oui » !"]),
        ("", []),
    ],
)
def test_words_are_kept_whole_with_their_marks(text: str, found: list[str]):
    assert [*words(text)] == found


def test_a_word_longer_than_a_line_is_divided_where_it_can_be():
    path = "https://example.com/" + "folder/" * 8
    assert pieces(path)[:3] == ["https://", "example.com/", "folder/"]
    assert pieces("a" * 50) == ["a"] * 50


def test_a_full_line_has_42_narrow_or_20_wide_characters():
    assert width("a" * 42) == width("好" * 20) == FULL_LINE
    assert width("é" * 42) == FULL_LINE
    assert width("a\u0301") == width("a")
