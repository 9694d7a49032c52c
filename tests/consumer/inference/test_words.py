from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.timing import WordTiming, merge_punctuations
from whisper.tokenizer import Tokenizer, get_tokenizer

from consumer.inference.words import split_words, timed_words

pytestmark = pytest.mark.usefixtures("one_thread")

ENGLISH = get_tokenizer(multilingual=True, language="en", task="transcribe")
CHINESE = get_tokenizer(multilingual=True, language="zh", task="transcribe")
TOKENS = st.lists(st.integers(0, ENGLISH.eot - 1), min_size=1, max_size=12)
TEXTS = [
    (ENGLISH, " And so, my fellow-Americans: (ask) what's 1,234.5?"),
    (CHINESE, "他說:「今天天氣很好嗎?」 OK 㗎喇。"),
]


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
@given(tokens=TOKENS, steps=st.lists(st.integers(0, 5), min_size=13, max_size=13))
def test_timed_words_are_in_order_and_concatenate_to_the_text(
    tokenizer: Tokenizer, tokens: list[int], steps: list[int]
):
    starts = [at / 50 for at in accumulate(steps)]
    words = timed_words(tokenizer, tokens, [-0.5] * len(tokens), starts[: len(tokens) + 1])
    assert "".join(word.text for word in words) == tokenizer.decode(tokens).strip()
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert {*times} <= {*starts}
    assert all(word.probability == pytest.approx(np.exp(-0.5)) for word in words)


@pytest.mark.parametrize("tokenizer", [ENGLISH, CHINESE])
@given(texts=st.lists(st.sampled_from([" one", "two", ' "', " (", ".", ',"', " ", "。", " -"])))
def test_punctuation_is_merged_as_by_openai_whisper(tokenizer: Tokenizer, texts: list[str]):
    tokens = [token for text in texts for token in tokenizer.encode(text)]
    pieces = split_words(tokenizer, tokens)
    ends = [*accumulate(count for _, count in pieces)]
    timings = [
        WordTiming(text, [], end - count, end, 1.0)
        for (text, count), end in zip(pieces, ends, strict=True)
    ]
    merge_punctuations(timings, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
    words = timed_words(tokenizer, tokens, [0.0] * len(tokens), range(len(tokens) + 1))
    expected = [(one.word.strip(), one.start, one.end) for one in timings if one.word.strip()]
    found = [(word.text.strip(), word.start_s, word.end_s) for word in words]
    assert [each for each in found if each[0]] == expected


def test_the_probability_of_a_word_is_the_mean_of_its_tokens():
    tokens = ENGLISH.encode(" Kerstinette sang")
    logprobs = [-0.1 * at for at in range(len(tokens))]
    first, last = timed_words(ENGLISH, tokens, [*logprobs, -9.0], range(len(tokens) + 1))
    assert first.probability == pytest.approx(np.exp(logprobs[:-1]).mean())
    assert last.probability == pytest.approx(np.exp(logprobs[-1]))


def test_no_tokens_make_no_words():
    assert timed_words(ENGLISH, [], [], [0.0]) == ()
