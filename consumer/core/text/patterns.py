"""Patterns of hallucinated text: loops, phrases that Whisper writes on silence, prompt echoes.

Whisper's own test, the compression ratio, finds long loops only: "词曲 词曲 词曲" compresses no
better than a sentence. Here the longest run of one phrase is found, however short.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from operator import eq
from typing import Final

from consumer.core.text.units import keys

LONGEST_PHRASE: Final = 12  # units
_ECHO_UNITS: Final = 3  # of hotwords, at least
_LOOP_UNITS, _LOOP_REPEATS = 8, 4  # at least both; speech has "no no no no" and "对对对对"

# Regular expressions over the joined keys of a text, without space, punctuation and case. Phrases
# match in any number, then at most one credit, which may contain names.
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
_OTHERS: Final = (  # Japanese, Korean, Arabic, Russian, then by alphabet
    r"(?:最後まで)?ご(?:視聴|清聴)(?:いただき|頂き)?ありがとうございま(?:した|す)",
    r"チャンネル登録(?:を|と高評価を?)?(?:よろしく)?お願い(?:いた)?します",
    r"(?:끝까지)?시청해주셔서감사합니다|구독과좋아요(?:부탁드립니다)?",
    r"اشتركوافيالقناة|спасибозапросмотр|продолжениеследует",
    r"bedanktvoorhetkijken|(?:vielen)?dankf[üu]r(?:s|das)zuschauen",
    r"dzi[ęe]kuj[ęe]zauwag[ęe]|dzi[ęe]kizaogl[ąa]danie",
    r"graciasporver(?:elv[íi]deo)?|suscr[íi]betealcanal|grazieperlavisione",
    r"i\u0307?zledi[ğg]inizi[çc]inte[şs]ekk[üu]rederim",
    r"mercidavoirregard[ée](?:cettevid[ée]o)?|obrigad[oa]porassistir",
)
_CREDITS: Final = (
    r"(?:中文|小[编編])?字幕(?:由|提供|制作|製作|志[愿願]者|[组組]|by|翻[译譯]|校[对對]|amara).{0,24}",
    r"由.{0,16}提供的?字幕",
    r"amaraorg.{0,12}",
    r"[优優]{2}[独獨]播[剧劇][场場].{0,40}",
    r".{0,4}是普通[话話]的(?:句子)?",  # a usual prompt, echoed
    r"(?:www)?moojiorg|bfwatchtv\d{0,4}|esoinctranslationby",
    r"(?:mbc|kbs|sbs|ytn)뉴스.{0,8}입니다|ترجمةنانسيقنقر",
    r"(?:субтитры(?:сделал|создавал)|редакторсубтитров).{0,40}",
    r"(?:altyaz[ıi]mk|svensktextning|tekstingav|titulkyvytvo[řr]il).{0,24}",
    r"(?:ondertitel(?:s|ing)(?:ingediend|door)|napisystworzone|undertexterfr[åa]n).{0,40}",
    r"legendaspelacomunidade.{0,16}|subt[íi]tulosrealizadospor.{0,40}",
    r"sottotitoli(?:creatidalla|erevisioneacuradi).{0,24}|h[ãa]ysubscribechok[êe]nh.{0,60}",
    r"soustitr(?:age(?:soci[ée]t[ée]|st)|esr[ée]alis[ée]spar).{0,40}",
    r"untertitel(?:ung)?(?:der|des|imauftragdes).{0,40}",
    r"(?:subtitles?|subtitled|captions?|captioned|transcribed|transcription|translated)by.{0,40}",
)
# Phrases that are common speech on their own.
_ALONE: Final = re.compile("(?:大家|您|你[们們]?|我[们們]?)的?|and|like|share|please|everyone")
_PHRASES: Final = re.compile(  # possessive: no backtracking
    f"(?:{'|'.join((*_CHINESE, *_ENGLISH, *_OTHERS))})*+(?:{'|'.join(_CREDITS)})?"
)
_SMALL_WINDOW, _SMALL_BYTES = 12, 3_500  # log2 of the bytes of a window; it has 4096
_LONGEST: Final = 120  # characters: a longer text has more than phrases


@dataclass(frozen=True, slots=True, order=True)
class Repetition:
    """A phrase that is repeated several times in a row."""

    units: int = 0  # of all repeats
    repeats: int = 0  # complete ones

    @property
    def is_loop(self) -> bool:
        return self.units >= _LOOP_UNITS and self.repeats >= _LOOP_REPEATS


def longest_repetition(text_keys: Sequence[str]) -> Repetition:
    """Return the longest repetition of at least three repeats among the keys of a text's units."""
    # Of three repeats of a phrase, all units of two are equal to others.
    repeated = len(text_keys) - len({*text_keys})
    longest = min(LONGEST_PHRASE, len(text_keys) // 3, repeated // 2)
    lengths = range(1, longest + 1)
    return max((_repetition_of(text_keys, length) for length in lengths), default=Repetition())


def compression_ratio(text: str) -> float:
    """Return the bytes of the text divided by those of its zlib compression, as in openai-whisper.

    A window that holds the whole text finds the same matches as the largest one, which takes longer
    to allocate than a text to compress.
    """
    encoded = text.encode()
    window = _SMALL_WINDOW if len(encoded) <= _SMALL_BYTES else zlib.MAX_WBITS
    compressor = zlib.compressobj(wbits=window)
    return len(encoded) / (len(compressor.compress(encoded)) + len(compressor.flush()))


def _repetition_of(text_keys: Sequence[str], length: int) -> Repetition:
    """Return the longest repetition of a phrase of `length` units."""
    repeats = bytes(map(eq, text_keys, text_keys[length:]))  # 1: equal to the unit `length` later
    longest = max(map(len, repeats.split(b"\0")))
    units = longest + length
    return Repetition(units, units // length) if units >= 3 * length else Repetition()


def is_silence_phrase(text: str) -> bool:
    """Return whether the text consists of phrases that Whisper writes on silence."""
    joined = "".join(keys(text))
    if not 0 < len(joined) <= _LONGEST or _ALONE.fullmatch(joined):
        return False
    return _PHRASES.fullmatch(joined) is not None


def is_echo(text: str, prompt: str | None) -> bool:
    """Return whether the text is the prompt, or a part of it."""
    joined, prompt_joined = "".join(keys(text)), "".join(keys(prompt or ""))
    return bool(joined) and joined in prompt_joined


def is_hotword_echo(text: str, hotwords: str | None) -> bool:
    """Return whether the text is at least half of the hotwords, in their order.

    A hotword alone is likely to be speech: hotwords are what speakers are expected to use.
    """
    given = keys(hotwords or "")
    found = keys(text)
    return len(found) >= max(_ECHO_UNITS, len(given) / 2) and is_echo(text, hotwords)
