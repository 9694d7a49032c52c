"""Words of a text, with their times and probabilities.

The rules for words and punctuation are those of openai-whisper's timing.py and tokenizer.py.
"""

from __future__ import annotations

import codecs
import string
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from math import exp
from typing import NamedTuple, Self

from tiktoken import Encoding
from whisper.tokenizer import Tokenizer

from consumer.core.text.hypothesis import TimedWord
from consumer.core.text.units import UNSPACED_LANGUAGES

_OPENING = "\"'“¿([{-"  # joins the word after it
_CLOSING = "\"'.。,，!！?？:：”)]}、"  # joins the word before it


def timed_words(
    tokenizer: Tokenizer,
    tokens: Sequence[int],
    logprobs: Sequence[float],
    starts_s: Sequence[float],
) -> tuple[TimedWord, ...]:
    """Return words in order of time that concatenate to the tokens' text, stripped of spaces.

    `starts_s` has the start of every token and of the end. A word's probability is the mean of
    those of its tokens, as in openai-whisper.
    """
    pieces = split_words(tokenizer, tokens)
    texts = [text for text, _ in pieces]
    _merge_punctuation(texts)
    _strip(texts)
    probabilities = [exp(logprob) for logprob in logprobs[: len(tokens)]]
    words, first = [], 0
    for text, (_, count) in zip(texts, pieces, strict=True):
        after = first + count
        if text:
            probability = sum(probabilities[first:after]) / count
            words.append(TimedWord(text, starts_s[first], starts_s[after], probability))
        first = after
    return tuple(words)


def _merge_punctuation(texts: list[str]) -> None:
    """Join punctuation to the word after or before it, in place; the merged texts become empty.

    The rules are those of openai-whisper's `merge_punctuations`.
    """
    following = len(texts) - 1
    for at in range(len(texts) - 2, -1, -1):
        text = texts[at]
        if text.startswith(" ") and text.strip() in _OPENING:
            texts[following] = text + texts[following]
            texts[at] = ""
        else:
            following = at
    previous = 0
    for at in range(1, len(texts)):
        text = texts[at]
        if text in _CLOSING and not texts[previous].endswith(" "):
            texts[previous] += text
            texts[at] = ""
        else:
            previous = at


def _strip(texts: list[str]) -> None:
    """Remove the spaces at both ends of the whole, in place."""
    for at in range(len(texts)):
        if stripped := texts[at].lstrip():
            texts[at] = stripped
            break
        texts[at] = ""
    for at in reversed(range(len(texts))):
        if stripped := texts[at].rstrip():
            texts[at] = stripped
            break
        texts[at] = ""


def split_words(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[tuple[str, int]]:
    """Return the text and the number of tokens of each word; the texts concatenate to the whole.

    The rules are Whisper's, on bytes: its own function fails on text cut inside a character.
    """
    pieces = _whole_characters(tokenizer, tokens)
    if tokenizer.language in UNSPACED_LANGUAGES:
        return [(piece.text, count) for piece, count in pieces]
    words: list[tuple[str, int]] = []
    for piece, count in pieces:
        if words and not piece.begins_word:
            before, already = words[-1]
            words[-1] = before + piece.text, already + count
        else:
            words.append((piece.text, count))
    return words


class _Piece(NamedTuple):
    """Whole characters."""

    text: str
    begins_word: bool

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(text, text.startswith(" ") or text.strip() in string.punctuation)


class _TokenPieces(dict[int, _Piece | None]):
    """The characters of tokens of an encoding, by token; None: it ends inside a character."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.bytes_of = encoding.decode_single_token_bytes

    def __missing__(self, token: int) -> _Piece | None:
        decoder = _utf8_decoder()
        text = decoder.decode(self.bytes_of(token))
        self[token] = piece = None if decoder.getstate()[0] else _Piece.of(text)
        return piece


_token_pieces = lru_cache(maxsize=None)(_TokenPieces)
_utf8_decoder = partial(codecs.getincrementaldecoder("utf-8"), errors="replace")


def _whole_characters(tokenizer: Tokenizer, tokens: Sequence[int]) -> Iterator[tuple[_Piece, int]]:
    """Yield the shortest runs of tokens that end at the end of a character, and their numbers."""
    known = _token_pieces(tokenizer.encoding)
    decoder, text, count = _utf8_decoder(), "", 0
    for token in tokens:
        piece = known[token]
        if piece is not None and not count:
            yield piece, 1
            continue
        text += decoder.decode(known.bytes_of(token))
        count += 1
        if not decoder.getstate()[0]:
            yield _Piece.of(text), count
            text, count = "", 0
    if count:
        yield _Piece.of(text + decoder.decode(b"", final=True)), count
