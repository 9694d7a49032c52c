from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.chinese import PROMPT
from consumer.core.text.patterns import is_echo, is_hotword_echo, is_silence_phrase


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
        "ご視聴ありがとうございました。",
        "最後までご視聴いただきありがとうございます",
        "チャンネル登録お願いします",
        "시청해주셔서 감사합니다.",
        "MBC 뉴스 이덕영입니다.",
        "구독과 좋아요 부탁드립니다",
        "اشتركوا في القناة",
        "ترجمة نانسي قنقر",
        "Субтитры сделал DimaTorzok",
        "Редактор субтитров А.Семкин Корректор А.Егорова",
        "Продолжение следует...",
        "Спасибо за просмотр!",
        "Untertitel der Amara.org-Community",
        "Untertitelung des ZDF, 2020",
        "Untertitel im Auftrag des ZDF für funk, 2017",
        "Vielen Dank fürs Zuschauen!",
        "Sous-titres réalisés par la communauté d'Amara.org",
        "Sous-titrage Société Radio-Canada",
        "Sous-titrage ST' 501",
        "Merci d'avoir regardé cette vidéo !",
        "Subtítulos realizados por la comunidad de Amara.org",
        "¡Gracias por ver el video!",
        "¡Suscríbete al canal!",
        "Legendas pela comunidade Amara.org",
        "Obrigado por assistir!",
        "Sottotitoli creati dalla comunità Amara.org",
        "Sottotitoli e revisione a cura di QTSS",
        "Grazie per la visione!",
        "Ondertitels ingediend door de Amara.org gemeenschap",
        "Bedankt voor het kijken!",
        "Napisy stworzone przez społeczność Amara.org",
        "Dziękuję za uwagę.",
        "Dzięki za oglądanie!",
        "Altyazı M.K.",
        "İzlediğiniz için teşekkür ederim.",
        "Undertexter från Amara.org-gemenskapen",
        "Svensktextning.nu",
        "Titulky vytvořil JohnyX",
        "Teksting av Nicolai Winther",
        "Hãy subscribe cho kênh Ghiền Mì Gõ Để không bỏ lỡ những video hấp dẫn",
        "小編字幕由 Amara.org 社群提供",
        "www.mooji.org",
        "© BF-WATCH TV 2021",
        "ESO, Inc. Translation by—",
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
        "Untertitel sind eingeschaltet",
        "sous-titres en français",
        "gracias por la información",
        "ご視聴の方法を教えてください",
        "구독을 취소하고 싶어요",
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


def test_an_echo_of_hotwords_is_most_of_them():
    """One hotword alone is what a speaker may have spoken."""
    hotwords = "手术模式, 诊疗模式, 椅子归位"
    assert is_hotword_echo("手术模式，诊疗模式", hotwords)
    assert not is_hotword_echo("手术模式", hotwords)
    assert not is_hotword_echo("Acme", "Acme")
    assert not is_hotword_echo("Acme", None)
