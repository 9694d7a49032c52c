"""Words said over and over: what a decoder writes that has lost its way.

Whisper's own test, how well a text compresses, sees long loops only: "词曲 词曲 词曲" compresses no
better than a sentence. Here the longest run of one phrase is found, however short.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consumer.core.text.units import keys

LONGEST_PHRASE: Final = 12  # units


_RUN_UNITS, _RUN_REPEATS = 8, 4  # from these on nobody speaks so: "no no no no" and "对对对对" do


@dataclass(frozen=True, slots=True, order=True)
class Repetition:
    """A phrase that comes several times in a row."""

    units: int = 0  # of all of them
    repeats: int = 0  # the last one may be incomplete, and is not counted then

    @property
    def is_loop(self) -> bool:
        return self.units >= _RUN_UNITS and self.repeats >= _RUN_REPEATS


def longest_repetition(said: Sequence[str]) -> Repetition:
    """Of at least three repeats; `said` are the keys of a text, unit by unit."""
    phrases = range(1, min(LONGEST_PHRASE, len(said) // 3) + 1)
    return max((_repetition_of(said, phrase) for phrase in phrases), default=Repetition())


def is_loop(text: str) -> bool:
    """Whether it is worth another decode."""
    return longest_repetition(keys(text)).is_loop


def _repetition_of(said: Sequence[str], phrase: int) -> Repetition:
    """The longest of phrases of that many units."""
    longest = same = 0
    for left, right in zip(said, said[phrase:], strict=False):  # each with the one a phrase later
        same = same + 1 if left == right else 0
        longest = max(longest, same)
    units = longest + phrase
    return Repetition(units, units // phrase) if units >= 3 * phrase else Repetition()


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
