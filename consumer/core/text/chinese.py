"""How Chinese is written: one script a stream, full-width punctuation, Latin words left alone.

Whisper writes Simplified and Traditional as it likes, and mostly without punctuation. A prompt that
has some makes it write some; the rest is done to its text. What converts between the scripts is
handed in (`consumer.chinese_conversion`). The words go on joining to the text.
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


# Taken to precede the text: it is punctuated, so the text will be. In Traditional script whatever
# is written in the end: of the two it costs no accuracy (docs/quality.md).
PROMPT: Final = "以下是普通話的句子。"


_NAMED: Final = {
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
    """How a worker writes Chinese."""

    converters: Mapping[Script, Convert] = field(default_factory=dict)
    script: Script | None = None  # where a stream's languages name none; None: as Whisper likes

    def normalise(self, hypothesis: Hypothesis, languages: Sequence[str]) -> Hypothesis:
        """The same as it is to be published; `languages` (BCP 47) are those the stream allows."""
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
    """What the first Chinese tag names, by itself or by its region; None: neither."""
    chinese = next((tag for tag in languages if _is_chinese(tag)), "")
    subtags = chinese.lower().split("-")[1:]
    return next((_NAMED[subtag] for subtag in subtags if subtag in _NAMED), None)


def prompt(language: str, asked: str | None, task: Task = Task.TRANSCRIBE) -> str | None:
    """What the text is taken to follow: what was asked for, else what makes Chinese punctuated.

    To ask for an empty one is to ask for none.
    """
    chinese = language == CODE and task is Task.TRANSCRIBE
    return PROMPT if asked is None and chinese else asked


def converted(parts: Sequence[str], convert: Convert) -> list[str]:
    """The parts of a text, converted as a whole: which character is meant, its neighbours decide.

    Each by itself where the text changes its length.
    """
    text = "".join(parts)
    whole = convert(text)
    return _sliced(whole, parts) if len(whole) == len(text) else [convert(part) for part in parts]


def typeset(text: str) -> list[str]:
    """What each character becomes: marks beside Han full-width, spaces only beside Latin words."""
    spaced = f"\n{text}\n"  # so that every character has two neighbours
    return [_typeset(spaced, at) for at in range(1, len(spaced) - 1)]


def _typeset(text: str, at: int) -> str:
    character = text[at]
    if character.isspace():
        return " " if _keeps_space(text, at) else ""
    return _WIDE[character] if _is_widened(text, at) else character


def _is_widened(text: str, at: int) -> bool:
    """Not inside a number or a Latin word (1,000 and example.com), and not in an ellipsis."""
    mark, left, right = text[at], text[at - 1], text[at + 1]
    if mark not in _WIDE or mark in {left, right} or (_is_letter(left) and _is_letter(right)):
        return False
    behind = text[at + 1 :].strip()[:1]
    return _is_cjk(text[:at].strip()[-1:]) or (
        _is_cjk(behind) if behind else any(map(is_han, text))
    )


def _keeps_space(text: str, at: int) -> bool:
    """The first of several, between Latin words, or between one and Han; not beside a wide mark."""
    left, behind = text[at - 1], text[at:].lstrip()[:1]
    if left.isspace() or not behind or _is_widened(text, at - 1):
        return False
    pair = left + behind
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
    except WireError:  # settings and headers are checked where they are read
        return False


def _sliced(pieces: Sequence[str], parts: Sequence[str]) -> list[str]:
    """What the characters of a text became, joined by the parts that the text was made of."""
    bounds = accumulate((len(part) for part in parts), initial=0)
    return ["".join(pieces[first:behind]) for first, behind in pairwise(bounds)]
