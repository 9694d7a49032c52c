"""What Whisper writes where nothing is said, in Chinese and English.

It learnt from films and videos with subtitles, where silence carries credits and farewells.
Collected in openai/whisper's discussion 928 and by Baranski et al. 2025, "Investigation of Whisper
ASR Hallucinations Induced by Non-Speech Audio"; 词曲, 字幕制作人 and "you" are what base writes on
music, machines and silence here. People say some of it too: it counts only where evidence is weak.
"""

from __future__ import annotations

import re
from typing import Final

from consumer.core.units import keys

# Of a text's keys run together: no space, punctuation or case. Whole ones come in any number, a
# credit last, for it holds names.
_CHINESE: Final = (
    r"[请請]不吝|支持明[镜鏡][与與]?[点點]{2}(?:栏目|欄目)?",
    r"[点點][赞贊讚]|按[赞贊讚]|[订訂][阅閱]|[关關]注|[转轉][发發]|分享|打[赏賞]|[频頻]道",
    r"[谢謝]{1,2}|感[谢謝]|(?:大家|您|你[们們]?|我[们們]?)的?|[观觀]看|收看|收[听聽]|[观觀][赏賞]",
    r"下(?:期|集|次)(?:[节節]目)?再?(?:[见見]|[会會])",
    r"作?[词詞]|作?曲|[编編]曲|演唱|李宗盛",
)
_ENGLISH: Final = (
    r"thankyou|thanks|(?:so|very)much|everyone|foryourattention",
    r"(?:i|we)?(?:ll)?seeyou(?:guys|all)?(?:inthe)?(?:next(?:time|video|one)|later|soon)?",
    r"for(?:watching|listening|viewing)(?:this|the)?(?:video)?",
    r"please|dontforgetto|and|like|share|subscribe|to(?:my|the|our)channel",
    r"you|byebye|bye",
    r"music|applause|laughter|foreign|silence|blankaudio",
)
_CREDITS: Final = (
    r"(?:中文)?字幕(?:由|提供|制作|製作|志[愿願]者|[组組]|by|翻[译譯]|校[对對]|amara).{0,24}",
    r"由.{0,16}提供的?字幕",
    r"amaraorg.{0,12}",
    r"[优優]{2}[独獨]播[剧劇][场場].{0,40}",
    r".{0,4}是普通[话話]的(?:句子)?",  # a usual prompt, echoed
    r"(?:subtitles?|subtitled|captions?|captioned|transcribed|transcription|translated)by.{0,40}",
)
# Of those, what is said every day.
_ALONE: Final = re.compile("(?:大家|您|你[们們]?|我[们們]?)的?|and|like|share|please|everyone")
_PHRASES: Final = re.compile(  # possessive: what no phrase matches is told at once
    f"(?:{'|'.join((*_CHINESE, *_ENGLISH))})*+(?:{'|'.join(_CREDITS)})?"
)
_LONGEST: Final = 120  # characters: what is longer is more than a phrase


def is_silence_phrase(text: str) -> bool:
    """Whether the text is nothing but such phrases."""
    said = "".join(keys(text))
    if not 0 < len(said) <= _LONGEST or _ALONE.fullmatch(said):
        return False
    return _PHRASES.fullmatch(said) is not None


def is_echo(text: str, prompt: str | None) -> bool:
    """Whether the text is nothing but a piece of the prompt, or all of it."""
    said, asked = "".join(keys(text)), "".join(keys(prompt or ""))
    return bool(said) and said in asked
