from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.chinese import PROMPT
from consumer.core.text.patterns import is_echo, is_silence_phrase


@pytest.mark.parametrize(
    "text",
    [
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "請不吝點贊 訂閱 轉發 打賞支持明鏡與點點欄目",
        "字幕由Amara.org社区提供",
        "中文字幕志愿者 杨茜茜",
        "字幕製作人",
        "謝謝觀看，我們下期再見！",
        "感谢大家的收看",
        "优优独播剧场——YoYo Television Series Exclusive",
        "词曲 词曲",
        PROMPT,
        "這次是普通話的句子。",
        "you",
        "Thank you.",
        "Thanks for watching! Please like and subscribe to my channel.",
        "I'll see you in the next video.",
        "Subtitles by the Amara.org community",
        "[Music]",
    ],
)
def test_phrases_that_whisper_writes_on_silence_are_recognised(text: str):
    assert is_silence_phrase(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "…",
        "我",
        "大家",
        "and",
        "please",
        "I like you",
        "字幕怎么关",
        "请订阅这个服务",
        "谢谢你帮我",
        "thank you for your help",
        "thank you, the order has arrived",
        "see you on Monday",
        "他说的是普通话吗",
        "thanks " * 40,
    ],
)
def test_real_speech_is_no_silence_phrase(text: str):
    assert not is_silence_phrase(text)


@given(st.text(max_size=200) | st.text("谢感觀看字幕由我thanksyou", max_size=200))
def test_any_text_can_be_checked(text: str):
    assert is_silence_phrase(text) in {True, False}


def test_an_echo_is_a_part_of_the_prompt():
    assert is_echo("Streamscribe, Kafka", "hello, streamscribe Kafka and Whisper")
    assert not is_echo("Whisper and more", "Kafka and Whisper")
    assert not is_echo("Kafka", None)
    assert not is_echo("。", PROMPT)
