from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from whisper.tokenizer import get_tokenizer

from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference.vocabulary import Vocabulary
from schemas.audio import Task

MULTILINGUAL = Vocabulary(51_865, 448)
ENGLISH = Vocabulary(51_864, 448)
V3 = Vocabulary(51_866, 448)
TOKENIZER = get_tokenizer(multilingual=True, num_languages=99, language="zh", task="transcribe")


def clip(**options: object) -> DecodeRequest:
    return DecodeRequest(np.zeros(16_000, np.float32), **options)


def test_the_size_of_the_vocabulary_determines_its_languages():
    assert len(MULTILINGUAL.language_tokens) == 99
    assert not ENGLISH.language_tokens
    assert {*V3.language_tokens} - {*MULTILINGUAL.language_tokens} == {"yue"}


def test_a_prompt_names_language_and_task():
    names = MULTILINGUAL.tokenizer("en").decode(MULTILINGUAL.prompt(clip(), "zh"))
    assert names == "<|startoftranscript|><|zh|><|transcribe|><|notimestamps|>"
    translate = MULTILINGUAL.prompt(clip(task=Task.TRANSLATE), "zh")
    assert TOKENIZER.translate in translate


def test_an_english_only_prompt_has_neither_language_nor_task():
    tokenizer = get_tokenizer(multilingual=False)
    assert ENGLISH.prompt(clip(), "en") == [tokenizer.sot, tokenizer.no_timestamps]


def test_hotwords_come_before_the_preceding_text():
    prompt = MULTILINGUAL.prompt(clip(prompt="so it was", hotwords="Kafka"), "en")
    assert prompt[0] == TOKENIZER.sot_prev
    assert TOKENIZER.decode(prompt[1 : -MULTILINGUAL.start_length]) == " Kafka so it was"


@pytest.mark.parametrize("hotwords", [None, "Kafka", "many words " * 300])
def test_a_long_prompt_leaves_room_for_a_whole_text(hotwords: str | None):
    text = " ".join(str(n) for n in range(900))
    prompt = MULTILINGUAL.prompt(clip(prompt=text, hotwords=hotwords), "en")
    assert len(prompt) + MULTILINGUAL.sample_limit <= 448
    kept = TOKENIZER.decode(prompt[1 : -MULTILINGUAL.start_length])
    assert kept.endswith("899") or kept.startswith(" many words")


def test_the_chinese_prompt_applies_to_chinese_without_another_prompt():
    expected = MULTILINGUAL.prompt(clip(prompt="股市"), "zh")
    unknown = clip(chinese_prompt="股市")
    assert MULTILINGUAL.prompt(unknown, "zh") == expected
    assert MULTILINGUAL.prompt(unknown, "en") == MULTILINGUAL.prompt(clip(), "en")
    assert MULTILINGUAL.prompt(clip(prompt="股市", chinese_prompt="x"), "zh") == expected


def test_a_blank_prompt_equals_no_prompt():
    assert MULTILINGUAL.prompt(clip(prompt="  ", hotwords=""), "en") == MULTILINGUAL.prompt(
        clip(), "en"
    )


def test_the_masks_suppress_all_special_tokens_but_the_end():
    always, first = MULTILINGUAL.masks(torch.device("cpu"))
    assert always[TOKENIZER.eot] == 0
    assert always[TOKENIZER.eot + 1 :].isneginf().all()
    assert always[[*TOKENIZER.non_speech_tokens]].isneginf().all()
    assert first[[TOKENIZER.eot, *TOKENIZER.encode(" ")]].isneginf().all()
    assert always.isneginf().sum() + 2 == first.isneginf().sum()


HOSTILE_TEXT = st.lists(
    st.sampled_from([*TOKENIZER.special_tokens, "\u202e", "\ud800", "e\u0301" * 50, "\0"])
    | st.text(max_size=20)
).map("".join)


@given(prompt=HOSTILE_TEXT, hotwords=HOSTILE_TEXT)
def test_no_text_of_a_publisher_becomes_a_special_token(prompt: str, hotwords: str):
    tokens = MULTILINGUAL.prompt(clip(prompt=prompt, hotwords=hotwords), "en")
    texts = tokens[1 : -MULTILINGUAL.start_length]
    assert all(token < TOKENIZER.eot for token in texts)


def test_the_name_of_a_special_token_is_ordinary_text():
    tokens = MULTILINGUAL.prompt(clip(prompt="<|endoftext|> and <|en|>"), "en")
    assert TOKENIZER.decode(tokens[1 : -MULTILINGUAL.start_length]) == " <|endoftext|> and <|en|>"
