from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from whisper.timing import median_filter
from whisper.tokenizer import Tokenizer, get_tokenizer

from consumer.inference.words import alignment, smoothed, split_words, timed_words

pytestmark = pytest.mark.usefixtures("one_thread")

ENGLISH = get_tokenizer(multilingual=True, language="en", task="transcribe")
CHINESE = get_tokenizer(multilingual=True, language="zh", task="transcribe")
TOKENS = st.lists(st.integers(0, ENGLISH.eot - 1), min_size=1, max_size=12)
TEXTS = [
    (ENGLISH, " And so, my fellow-Americans: (ask) what's 1,234.5?"),
    (CHINESE, "他說:「今天天氣很好嗎?」 OK 㗎喇。"),
]


def test_word_times_do_not_change_the_threads_of_torch():
    """With `parallel`, numba would start a thread for each core of the host."""
    source = """
import numpy as np
import torch
from consumer.inference.words import timed_words
from whisper.tokenizer import get_tokenizer

torch.set_num_threads(3)
torch.ones(1000, 1000).sum()
tokenizer = get_tokenizer(multilingual=True, language="en", task="transcribe")
timed_words(tokenizer, tokenizer.encode("one two"), [-0.1, -0.1], np.eye(3, 9, dtype=np.float32))
assert torch.get_num_threads() == 3, torch.get_num_threads()
"""
    subprocess.run(
        [sys.executable, "-c", source], check=True, env=os.environ | {"NUMBA_NUM_THREADS": "2"}
    )


@given(st.integers(1, 20), st.integers(0, 1000))
def test_smoothing_equals_the_median_filter_of_openai_whisper(length: int, seed: int):
    scores = torch.randn(2, 3, length, generator=torch.Generator().manual_seed(seed)).round()
    assert smoothed(scores).equal(median_filter(scores, 7))


@pytest.mark.parametrize(("tokenizer", "text"), TEXTS)
def test_words_are_split_as_by_openai_whisper(tokenizer: Tokenizer, text: str):
    tokens = tokenizer.encode(text)
    words, parts = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    assert split_words(tokenizer, tokens) == [
        (word, len(part)) for word, part in zip(words[:-1], parts[:-1], strict=True)
    ]


@pytest.mark.parametrize("tokenizer", [ENGLISH, CHINESE])
@given(tokens=TOKENS)
def test_words_concatenate_to_the_text_of_any_tokens(tokenizer: Tokenizer, tokens: list[int]):
    words = split_words(tokenizer, tokens)
    assert "".join(text for text, _ in words) == tokenizer.decode(tokens)
    assert sum(count for _, count in words) == len(tokens)


@pytest.mark.parametrize("tokenizer", [ENGLISH, CHINESE])
@given(tokens=TOKENS, seed=st.integers(0, 99), positions=st.integers(1, 60))
def test_timed_words_are_in_order_and_concatenate_to_the_text(
    tokenizer: Tokenizer, tokens: list[int], seed: int, positions: int
):
    matrix = np.random.default_rng(seed).standard_normal((len(tokens) + 1, positions))
    words = timed_words(tokenizer, tokens, [-0.5] * len(tokens), matrix.astype(np.float32))
    assert "".join(word.text for word in words) == tokenizer.decode(tokens).strip()
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert all(0 <= time < positions / 50 for time in times)
    assert all(word.probability == pytest.approx(np.exp(-0.5)) for word in words)


def test_a_word_begins_at_the_first_attended_position_of_its_row():
    tokens = ENGLISH.encode(" one two three")
    matrix = np.zeros((4, 40), np.float32)
    for row, start in enumerate((0, 10, 20, 30)):
        matrix[row, start : start + 10] = 1
    words = timed_words(ENGLISH, tokens, [-0.1] * 3, matrix)
    assert [word.text for word in words] == ["one", " two", " three"]
    bounds = [words[0].start_s, *(word.end_s for word in words)]
    assert bounds == pytest.approx([0.0, 0.2, 0.4, 0.6], abs=0.021)


def test_no_tokens_make_no_words():
    assert timed_words(ENGLISH, [], [], np.zeros((1, 5), np.float32)) == ()


def test_an_alignment_is_largest_at_the_attended_position():
    keys = torch.eye(30)[None].repeat(2, 1, 1) * 30
    queries = torch.eye(30)[[2, 12, 25]][None].repeat(2, 1, 1) * 30
    aligned = alignment(queries, keys.repeat_interleave(10, 1))  # each position ten times
    assert (aligned.argmax(-1) // 10).tolist() == [2, 12, 25]


def test_an_alignment_over_one_position_is_finite():
    assert alignment(torch.randn(2, 5, 4), torch.randn(2, 1, 4)).isfinite().all()


def test_an_alignment_is_computed_in_fp32():
    """In bf16, a product would be compiled for the shape of every text."""
    queries, keys = torch.randn(2, 5, 64).bfloat16(), torch.randn(2, 30, 64).bfloat16()
    assert torch.equal(alignment(queries, keys), alignment(queries.float(), keys.float()))
