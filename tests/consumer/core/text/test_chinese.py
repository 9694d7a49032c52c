from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.chinese import (
    PROMPT,
    Orthography,
    Script,
    converted,
    prompt,
    script_of,
    typeset,
)
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from schemas.audio import Task

ORTHOGRAPHY = Orthography({Script.HANS: lambda text: text.replace("發", "发")}, Script.HANS)
texts = st.text("你發 a1,.()。，x\u3000")


def hypothesis_of(*words: str, language: str = "zh") -> Hypothesis:
    return Hypothesis(
        text="".join(words),
        language=language,
        language_probability=None,
        tokens=(),
        avg_logprob=-0.1,
        no_speech_prob=0.0,
        compression_ratio=1.0,
        words=tuple(TimedWord(word, 0.0, 0.0, 0.9) for word in words),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好,世界.", "你好，世界。"),
        ("廣州市 房地產", "廣州市房地產"),
        ("我用 Python, 你呢?", "我用 Python，你呢？"),
        ("我爱iPhone!", "我爱iPhone！"),
        ("新增 15 万个", "新增15万个"),
        ("1,000元(约),见example.com.", "1,000元（约），见example.com。"),
        ("他说: hello, world. 然后走了", "他说：hello, world。然后走了"),
        ("等等...好", "等等...好"),
        ("see you, Tom.", "see you, Tom."),
        ("  你  ok  吗", "你 ok 吗"),
        ("", ""),
    ],
)
def test_marks_beside_han_are_full_width_and_spaces_are_kept_beside_latin_words(
    text: str, expected: str
):
    assert "".join(typeset(text)) == expected


@given(texts)
def test_only_marks_and_spaces_change(text: str):
    for before, after in zip(text, typeset(text), strict=True):
        assert after == before or before in ",.()" or before.isspace()


@given(texts)
def test_spaces_are_single_and_never_at_the_ends(text: str):
    normalised = "".join(typeset(text))
    assert normalised == normalised.strip()
    assert not any(a.isspace() and b.isspace() for a, b in pairwise(normalised))


@given(st.lists(st.text("你發a ,.", min_size=1), max_size=8))
def test_the_words_join_to_the_text(words: list[str]):
    normalised = ORTHOGRAPHY.normalise(hypothesis_of(*words), ())
    assert normalised.words is not None
    assert "".join(word.text for word in normalised.words) == normalised.text
    assert all(word.text for word in normalised.words)


def test_parts_are_converted_one_by_one_if_the_length_changes():
    longer = {"面": "麵麵"}
    assert converted(["一面", "面"], lambda text: "".join(longer.get(c, c) for c in text)) == [
        "一麵麵",
        "麵麵",
    ]


def test_a_text_is_converted_as_a_whole():
    assert converted(["头", "发"], lambda text: text.replace("头发", "頭髮")) == ["頭", "髮"]


@pytest.mark.parametrize(
    ("languages", "script"),
    [
        (("zh-Hans",), Script.HANS),
        (("zh-Hant-HK",), Script.HANT),
        (("zh-TW",), Script.HANT),
        (("cmn-CN",), Script.HANS),
        (("en", "zh-HK", "zh-CN"), Script.HANT),
        (("zh",), None),
        (("en-SG",), None),
        ((), None),
    ],
)
def test_the_script_follows_from_the_first_chinese_tag(
    languages: tuple[str, ...], script: Script | None
):
    assert script_of(languages) is script


@pytest.mark.parametrize(
    ("languages", "text"),
    [(("zh-Hant",), "發，好"), (("zh",), "发，好"), ((), "发，好")],
)
def test_the_script_of_the_stream_precedes_the_workers(languages: tuple[str, ...], text: str):
    assert ORTHOGRAPHY.normalise(hypothesis_of("發,", "好"), languages).text == text


def test_a_text_without_words_is_normalised_too():
    normalised = ORTHOGRAPHY.normalise(
        Hypothesis("發,好", "zh", None, (), -0.1, 0.0, 1.0), languages=("zh-Hans",)
    )
    assert (normalised.text, normalised.words) == ("发，好", None)


def test_other_languages_are_not_changed():
    japanese = hypothesis_of("発,", "好", language="ja")
    assert ORTHOGRAPHY.normalise(japanese, ("zh-Hans", "ja")) is japanese


def test_chinese_has_a_prompt_unless_the_stream_sets_one():
    assert prompt("zh", None) == PROMPT
    assert prompt("zh", "股票") == "股票"
    assert prompt("zh", "") == ""
    assert prompt("en", None) is None
    assert prompt("zh", None, Task.TRANSLATE) is None  # into English
