from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.units import Kind, is_han, keys, kind, units


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hello there", ["hello", " there"]),
        ("Don't pay $3.50, please.", ["Don't", " pay", " $3.50,", " please."]),
        ("你好，世界。", ["你", "好，", "世", "界。"]),
        ("用Python写3行", ["用", "Python", "写", "3", "行"]),
        ("他说：“你好”（笑）", ["他", "说：", "“你", "好”", "（笑）"]),
        ("이것은 책", ["이것은", " 책"]),
        ("が\u3099ん", ["が\u3099", "ん"]),
        ("น้ำ", ["น้", "ำ"]),
        ("…", ["…"]),
        ("", []),
    ],
)
def test_a_unit_is_a_word_or_a_character(text: str, parts: list[str]):
    assert [unit.text for unit in units(text)] == parts


@given(st.text())
def test_units_join_to_the_text(text: str):
    assert "".join(unit.text for unit in units(text)) == text


@given(st.text())
def test_the_trail_is_the_end_of_the_unit(text: str):
    assert all(unit.text.endswith(unit.trail) for unit in units(text))


def test_keys_ignore_case_width_and_punctuation():
    assert keys("Hello, WORLD! ") == keys("hello world") == ["hello", "world"]
    assert keys("ＡＢＣ１２") == ["abc12"]
    assert keys("……") == []


@given(st.text())
def test_keys_are_those_of_the_units(text: str):
    assert keys(text) == [unit.key for unit in units(text) if unit.key]


@given(
    st.lists(
        st.sampled_from(["a", "Ｂ", "用", "が\u3099", "\u0301", " ", "(", ".", "\ufdfa", "\0"])
    )
)
def test_keys_are_those_of_the_units_of_mixed_scripts(parts: list[str]):
    text = "".join(parts)
    assert keys(text) == [unit.key for unit in units(text) if unit.key]


@pytest.mark.parametrize(
    ("character", "han"), [("中", True), ("〇", True), ("𠮷", True), ("か", False), ("a", False)]
)
def test_han_is_distinguished_from_kana_and_latin(character: str, han: bool):
    assert is_han(character) is han


@given(st.text(st.sampled_from("aB1 你中が\u3099ก้.,!?$(（“”\u200d\u0301\n-…")))
def test_a_unit_is_a_word_or_a_character_after_what_belongs_to_it(text: str):
    assert [unit.text for unit in units(text)] == [*one_by_one(text)]


def one_by_one(text: str) -> Iterator[str]:
    """Yield the units of a text, decided at each code point by the kinds before it."""
    piece, core = "", None  # core: the kind of its last letter or character
    for character in text:
        now = kind(character)
        begins = {Kind.CHARACTER, Kind.SPACE, Kind.OPENING}
        if core is Kind.CHARACTER:
            begins.add(Kind.LETTER)
        if core is not None and now in begins:
            yield piece
            piece, core = "", None
        piece += character
        core = now if now in {Kind.LETTER, Kind.CHARACTER} else core
    if piece:
        yield piece
