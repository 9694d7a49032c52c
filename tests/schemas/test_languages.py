from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from schemas.errors import Reason, WireError
from schemas.languages import WHISPER_CODES, bcp47, language_tag, language_tags, whisper_code


def test_the_codes_equal_those_of_whisper() -> None:
    assert set(LANGUAGES) == WHISPER_CODES


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("zh", "zh"),
        ("zh-Hans", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zh-CN", "zh"),
        ("ZH-cn", "zh"),
        ("cmn-Hans-CN", "zh"),
        ("zh-cmn-Hans", "zh"),
        ("yue", "yue"),
        ("zh-yue", "yue"),
        ("zh-yue-HK", "yue"),
        ("en-US", "en"),
        ("en-US-x-kiosk-7", "en"),
        ("nb-NO", "no"),
        ("nn", "nn"),
        ("fil", "tl"),
        ("iw", "he"),
        ("jv", "jw"),
        ("haw", "haw"),
    ],
)
def test_a_tag_maps_to_its_whisper_code(tag: str, code: str) -> None:
    assert whisper_code(tag) == code


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("en_US", "en-US"),
        ("EN-us", "en-US"),
        ("zh_cn", "zh-CN"),
        (" zh-hans ", "zh-Hans"),
        ("pt_BR.UTF-8", "pt-BR"),
        ("eng", "en"),
        ("deu", "de"),
        ("ger", "de"),
        ("chi", "zh"),
        ("nob", "nb"),
        ("English", "en"),
        ("MANDARIN", "zh"),
        ("Haitian  Creole", "ht"),
        ("javanese", "jv"),
        ("jp", "ja"),
        ("kr", "ko"),
        ("jp-JP", "ja-JP"),
        ("cn", "zh"),
        ("cz_CZ.ISO8859-2", "cs-CZ"),
        ("en_US@euro", "en-US"),
        ("zh-CHT", "zh-Hant"),
        ("zh_chs", "zh-Hans"),
        ("中文", "zh"),
        ("粤语", "yue"),
        ("Español", "es"),
        ("yue", "yue"),
    ],
)
def test_a_language_is_understood_as_publishers_write_it(text: str, tag: str) -> None:
    assert language_tag(text) == tag


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("zh-Hans, en", ("zh-Hans", "en")),
        ("en;zh", ("en", "zh")),
        ("en|zh", ("en", "zh")),
        ("zh-CN,zh;q=0.9,en;q=0.8", ("zh-CN", "zh", "en")),
        ("AUTO", ()),
        ("und", ()),
        ("multi", ()),
    ],
)
def test_a_list_is_understood_as_publishers_write_it(text: str, tags: tuple[str, ...]) -> None:
    assert language_tags(text) == (tags, ())


@pytest.mark.parametrize(
    "text", ["", "x", "tlh", "zh-", "-zh", "中文话", "klingon", "x-klingon", "\0"]
)
def test_an_unknown_language_is_rejected(text: str) -> None:
    with pytest.raises(WireError, match="BCP 47") as raised:
        language_tag(text)
    assert raised.value.reason is Reason.UNKNOWN_LANGUAGE


@given(st.text(max_size=30))
def test_any_text_is_a_tag_that_whisper_has_or_is_rejected(text: str) -> None:
    try:
        tag = language_tag(text)
    except WireError:
        return
    assert whisper_code(tag) in WHISPER_CODES
    assert language_tag(tag) == tag


def test_the_names_are_those_of_whisper() -> None:
    assert {name: whisper_code(language_tag(name)) for name in TO_LANGUAGE_CODE} == TO_LANGUAGE_CODE


@given(st.sampled_from(sorted(WHISPER_CODES)))
def test_the_tag_of_every_code_maps_back_to_it(code: str) -> None:
    assert whisper_code(bcp47(code)) == code
