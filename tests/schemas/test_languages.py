from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.tokenizer import LANGUAGES

from schemas.errors import Reason, WireError
from schemas.languages import WHISPER_CODES, bcp47, whisper_code


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


@pytest.mark.parametrize("tag", ["", "x", "tlh", "english", "zh_CN", "zh-", "-zh", "中文", "zh\n"])
def test_an_unknown_language_is_rejected(tag: str) -> None:
    with pytest.raises(WireError, match="BCP 47") as raised:
        whisper_code(tag)
    assert raised.value.reason is Reason.UNKNOWN_LANGUAGE


@given(st.sampled_from(sorted(WHISPER_CODES)))
def test_the_tag_of_every_code_maps_back_to_it(code: str) -> None:
    assert whisper_code(bcp47(code)) == code
