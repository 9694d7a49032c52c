"""The orthography of Chinese: one script per stream, full-width punctuation, unchanged Latin words.

Whisper mixes Simplified and Traditional, and mostly omits punctuation. A punctuated prompt makes it
write punctuation; script and marks are normalised afterwards. Script converters are passed in
(`consumer.chinese_conversion`). The words still join to the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Final, TypeAlias

from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.units import Kind, is_han, kind
from schemas.audio import Task
from schemas.errors import WireError
from schemas.languages import whisper_code

Convert: TypeAlias = Callable[[str], str]


class Script(StrEnum):
    """ISO 15924, as in BCP 47."""

    HANS = "Hans"  # Simplified
    HANT = "Hant"  # Traditional


CODE: Final = "zh"  # Whisper's
# A punctuated prompt makes the text punctuated. It is in Traditional script for either script,
# because a Simplified one costs accuracy (docs/quality.md).
PROMPT: Final = "以下是普通話的句子。"
_SCRIPTS: Final = {  # by subtag: script or region
    "hans": Script.HANS,
    "hant": Script.HANT,
    "cn": Script.HANS,
    "my": Script.HANS,
    "sg": Script.HANS,
    "hk": Script.HANT,
    "mo": Script.HANT,
    "tw": Script.HANT,
}
_WIDE: Final = dict(zip(",.?!:;()", "，。？！：；（）", strict=True))
_CJK: Final = frozenset("，。？！：；（）、《》〈〉「」『』【】“”‘’…—·")


@dataclass(frozen=True, slots=True)
class Orthography:
    """The orthography of a worker."""

    converters: Mapping[Script, Convert] = field(default_factory=dict)
    script: Script | None = None  # where a stream's languages name none; None: unchanged

    def normalise(self, hypothesis: Hypothesis, languages: Sequence[str]) -> Hypothesis:
        """Return the hypothesis as published. `languages`: BCP 47 tags that the stream allows."""
        if hypothesis.language != CODE:
            return hypothesis
        script = script_of(languages) or self.script
        convert = None if script is None else self.converters.get(script)
        words = hypothesis.words
        parts = [hypothesis.text] if words is None else [word.text for word in words]
        parts = parts if convert is None else converted(parts, convert)
        parts = _sliced(typeset("".join(parts)), parts)
        return replace(
            hypothesis,
            text="".join(parts),
            words=words
            and tuple(replace(w, text=t) for w, t in zip(words, parts, strict=True) if t),
        )


def script_of(languages: Sequence[str]) -> Script | None:
    """Return the script that the first Chinese tag names, directly or by its region, or None."""
    chinese = next((tag for tag in languages if _is_chinese(tag)), "")
    subtags = chinese.lower().split("-")[1:]
    return next((_SCRIPTS[subtag] for subtag in subtags if subtag in _SCRIPTS), None)


def prompt(language: str, asked: str | None, task: Task = Task.TRANSCRIBE) -> str | None:
    """Return the prompt to decode with: the one asked for, else PROMPT for Chinese.

    An empty one asks for none.
    """
    chinese = language == CODE and task is Task.TRANSCRIBE
    return PROMPT if asked is None and chinese else asked


def converted(parts: Sequence[str], convert: Convert) -> list[str]:
    """Return the parts of a text, converted as a whole: the right character depends on its context.

    If the conversion changes the length, each part is converted on its own.
    """
    text = "".join(parts)
    whole = convert(text)
    return _sliced(whole, parts) if len(whole) == len(text) else [convert(part) for part in parts]


def typeset(text: str) -> list[str]:
    """Return each character's replacement: full-width marks beside Han, spaces beside Latin."""
    spaced = f"\n{text}\n"  # so that every character has two neighbours
    return [_typeset(spaced, at) for at in range(1, len(spaced) - 1)]


def _typeset(text: str, at: int) -> str:
    character = text[at]
    if character.isspace():
        return " " if _keeps_space(text, at) else ""
    return _WIDE[character] if _is_widened(text, at) else character


def _is_widened(text: str, at: int) -> bool:
    """Return whether a mark is beside Han, and not in a number, Latin word or ellipsis."""
    mark, left, right = text[at], text[at - 1], text[at + 1]
    if mark not in _WIDE or mark in {left, right} or (_is_letter(left) and _is_letter(right)):
        return False
    following = text[at + 1 :].strip()[:1]
    return _is_cjk(text[:at].strip()[-1:]) or (
        _is_cjk(following) if following else any(map(is_han, text))
    )


def _keeps_space(text: str, at: int) -> bool:
    """Return whether a space is the first between two words of which one is Latin."""
    left, following = text[at - 1], text[at:].lstrip()[:1]
    if left.isspace() or not following or _is_widened(text, at - 1):
        return False
    pair = left + following
    if any(character in _CJK for character in pair):
        return False
    return not any(map(is_han, pair)) or any(_is_letter(c) and not c.isdigit() for c in pair)


def _is_letter(character: str) -> bool:
    return kind(character) is Kind.LETTER


def _is_cjk(character: str) -> bool:
    return bool(character) and (is_han(character) or character in _CJK)


def _is_chinese(tag: str) -> bool:
    try:
        return whisper_code(tag) == CODE
    except WireError:  # settings and headers are validated elsewhere
        return False


def _sliced(pieces: Sequence[str], parts: Sequence[str]) -> list[str]:
    """Return the pieces, one for each character of the joined parts, joined for each part."""
    bounds = accumulate((len(part) for part in parts), initial=0)
    return ["".join(pieces[start:end]) for start, end in pairwise(bounds)]
