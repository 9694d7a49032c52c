"""Word times from the cross-attention of the alignment heads.

They are computed as in openai-whisper's timing.py (median filter, dynamic time warping, rules for
words and punctuation), but from the queries of the decode itself instead of a second pass.
"""

from __future__ import annotations

import codecs
import string
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numba
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from torch import Tensor, std_mean
from whisper.timing import WordTiming, dtw_cpu, merge_punctuations
from whisper.tokenizer import Tokenizer

from consumer.core.audio.utterance import Float32Array
from consumer.core.text.hypothesis import TimedWord
from consumer.core.text.units import UNSPACED_LANGUAGES

# The pairs of seven numbers to put in order, in turn, so that the fourth is the median
# (Devillard 1998, "Fast median search"). Sorting all seven takes ten times the memory.
_EXCHANGES = (
    *((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6)),
    *((2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4)),
)
_MEDIAN_SIDE = 3  # neighbours on each side
_POSITIONS_PER_S = 50
_OPENING = "\"'“¿([{-"  # joins the word after it
_CLOSING = "\"'.。,，!！?？:：”)]}、"  # joins the word before it

# Compiled without `parallel`, which starts a thread for each core of the host and thereby changes
# the number of torch's threads, regardless of `set_threads` and the container's quota.
_warp = numba.njit(dtw_cpu.py_func)


def alignment(queries: Tensor, keys: Tensor) -> Tensor:
    """Return how much each text column attends to each audio position, [S, R], fp32.

    `queries` [A, S, d] and `keys` [A, R, d] are those of the alignment heads. The attention over
    these positions alone is standardised over the text, smoothed, and averaged over the heads.
    """
    # In fp32: products in bf16 are compiled for their shape and cached, and few texts share one.
    scores = queries.float() @ keys.float().transpose(1, 2) * queries.shape[-1] ** -0.5
    weights = scores.softmax(-1)
    deviation, mean = std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    distinct = (weights - mean) / deviation.clamp(min=1e-10)
    return smoothed(distinct).mean(0)


def smoothed(x: Tensor) -> Tensor:
    """Return the medians of seven neighbours along the last dimension, reflected at its ends.

    It equals openai-whisper's `median_filter`, which leaves dimensions too short for that as is.
    """
    length = x.shape[-1]
    if length <= _MEDIAN_SIDE:
        return x
    reflected = F.pad(x, (_MEDIAN_SIDE, _MEDIAN_SIDE), "reflect")
    near = [reflected[..., at : at + length] for at in range(2 * _MEDIAN_SIDE + 1)]
    for low, high in _EXCHANGES:
        pair = near[low], near[high]
        near[low], near[high] = torch.minimum(*pair), torch.maximum(*pair)
    return near[_MEDIAN_SIDE]


def timed_words(
    tokenizer: Tokenizer,
    tokens: Sequence[int],
    logprobs: Sequence[float],
    matrix: Float32Array,
) -> tuple[TimedWord, ...]:
    """Return words in order of time that concatenate to the tokens' text, stripped of spaces.

    `matrix` [tokens + 1, R] has the row of an alignment for every token and for the end. A word's
    probability is the mean of those of its tokens, as in openai-whisper.
    """
    pieces = split_words(tokenizer, tokens)
    bounds = [0, *accumulate(count for _, count in pieces)]
    starts = _starts_s(matrix)
    timings = [
        WordTiming(
            word=text,
            tokens=list(tokens[first:after]),
            start=starts[first],
            end=starts[after],
            probability=float(np.exp(logprobs[first:after]).mean()),
        )
        for (text, _), (first, after) in zip(pieces, pairwise(bounds), strict=True)
    ]
    merge_punctuations(timings, _OPENING, _CLOSING)
    return tuple(_trimmed(timings))


def _starts_s(matrix: Float32Array) -> list[float]:
    """Return the time in seconds at which each row of an alignment begins, not decreasing."""
    rows, positions = _warp(-matrix.astype(np.float64))
    first = np.diff(rows, prepend=-1) > 0
    return [float(position) / _POSITIONS_PER_S for position in positions[first]]


def _trimmed(timings: Sequence[WordTiming]) -> Iterator[TimedWord]:
    """Yield words without the spaces at both ends of the text; drop words that are only those."""
    rest = "".join(timing.word for timing in timings).rstrip()
    leading = len(rest) - len(rest.lstrip())
    for timing in timings:
        text, rest = rest[: len(timing.word)], rest[len(timing.word) :]
        text, leading = text[leading:], max(0, leading - len(text))
        if text:
            yield TimedWord(text, timing.start, timing.end, timing.probability)


def split_words(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[tuple[str, int]]:
    """Return the text and the number of tokens of each word; the texts concatenate to the whole.

    The rules are Whisper's, on bytes: its own function fails on text cut inside a character.
    """
    words: list[tuple[str, int]] = []
    spaced = tokenizer.language not in UNSPACED_LANGUAGES
    for text, count in _whole_characters(tokenizer, tokens):
        if spaced and words and not _begins_word(text):
            before, already = words.pop()
            words.append((before + text, already + count))
        else:
            words.append((text, count))
    return words


def _begins_word(text: str) -> bool:
    return text.startswith(" ") or text.strip() in string.punctuation


def _whole_characters(tokenizer: Tokenizer, tokens: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Yield the shortest runs of tokens that end at the end of a character: text and count."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text, count = "", 0
    for index, token in enumerate(tokens):
        last = index == len(tokens) - 1
        piece: bytes = tokenizer.encoding.decode_single_token_bytes(token)
        text += decoder.decode(piece, final=last)
        count += 1
        if last or not decoder.getstate()[0]:
            yield text, count
            text, count = "", 0
