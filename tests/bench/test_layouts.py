from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_whisper import checkpoint_of, small_whisper

from bench.engines.catalog import FASTER_WHISPER, OPENAI_WHISPER, PEERS
from bench.layouts import merged_from, write_hugging_face, written
from consumer.inference.checkpoint import Checkpoint, load
from consumer.inference.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    return checkpoint_of(small_whisper())


def test_tokens_are_merged_from_the_pair_that_byte_pair_encoding_ends_with():
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4, b"abc": 5}
    assert merged_from(b"abc", ranks) == (b"a", b"bc")
    assert merged_from(b"ab", ranks) == (b"a", b"b")
    assert merged_from(b"a", ranks) is None


def test_the_folder_holds_the_same_weights_and_heads(tmp_path: Path, small: Checkpoint):
    write_hugging_face(tmp_path / "hf", small)
    found = load(tmp_path / "hf")
    assert found.dims == small.dims
    assert found.alignment_heads == small.alignment_heads
    assert all(torch.equal(found.state[name], tensor) for name, tensor in small.state.items())


@pytest.mark.parametrize(
    "text", [" Hello there, it's 3:45!", "你好，世界", " naïve  café\n\n", "<|en|>x", "🙂 ok"]
)
def test_the_tokenizer_is_openais(tmp_path: Path, small: Checkpoint, text: str):
    from tokenizers import Tokenizer

    write_hugging_face(tmp_path / "hf", small)
    made = Tokenizer.from_file(str(tmp_path / "hf/tokenizer.json"))
    theirs = Vocabulary(small.dims.n_vocab, small.dims.n_text_ctx).tokenizer("en")
    expected = theirs.encoding.encode(text, allowed_special="all")
    assert made.encode(text, add_special_tokens=False).ids == expected
    assert made.decode(expected, skip_special_tokens=False) == text
    assert made.token_to_id("<|notimestamps|>") == theirs.no_timestamps


def test_only_what_is_wanted_is_written(small: Checkpoint):
    with written(Path("x.pt"), small, [OPENAI_WHISPER]) as weights:
        assert (weights.hugging_face, weights.ctranslate2) == (None, None)
    with written(Path("x.pt"), small, [PEERS["transformers"]]) as weights:
        assert weights.hugging_face is not None
        assert weights.hugging_face.exists()
        assert weights.ctranslate2 is None
    assert not weights.hugging_face.exists()


def test_faster_whisper_wants_both_folders():
    assert FASTER_WHISPER.hugging_face
    assert FASTER_WHISPER.ctranslate2
