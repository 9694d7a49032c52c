from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_whisper import checkpoint_of, small_whisper

from bench.engine.engines.catalog import FASTER_WHISPER, OPENAI_WHISPER, PEERS
from bench.engine.layouts import write_hugging_face, written
from consumer.inference.checkpoint import Checkpoint, load
from consumer.inference.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    return checkpoint_of(small_whisper())


@pytest.fixture(scope="module")
def folder(small: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts") / "hugging_face"
    write_hugging_face(folder, small)
    return folder


def test_the_folder_holds_the_same_weights_and_heads(folder: Path, small: Checkpoint):
    found = load(folder)
    assert found.dims == small.dims
    assert found.alignment_heads == small.alignment_heads
    assert all(torch.equal(found.state[name], tensor) for name, tensor in small.state.items())


@pytest.mark.parametrize(
    "text",
    [
        *(" Hello there, it's 3:45!", "你好，世界", " naïve  café\n\n", "<|en|>x", "🙂 ok"),
        " antidisestablishmentarianism, unbelievably incomprehensible misspelllings",
    ],
)
def test_the_tokenizer_is_openais(folder: Path, small: Checkpoint, text: str):
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs = Vocabulary(small.dims.n_vocab, small.dims.n_text_ctx).tokenizer("en")
    expected = theirs.encoding.encode(text, allowed_special="all")
    assert made.encode(text, add_special_tokens=False).ids == expected
    assert made.decode(expected, skip_special_tokens=False) == text
    assert made.token_to_id("<|notimestamps|>") == theirs.no_timestamps


def test_only_layouts_that_a_variant_reads_are_written(small: Checkpoint):
    with written(Path("x.pt"), small, [OPENAI_WHISPER]) as weights:
        assert (weights.hugging_face, weights.ctranslate2) == (None, None)
    with written(Path("x.pt"), small, [PEERS["transformers"]]) as weights:
        assert weights.hugging_face is not None
        assert weights.hugging_face.exists()
        assert weights.ctranslate2 is None
    assert not weights.hugging_face.exists()


def test_faster_whisper_needs_both_folders():
    assert FASTER_WHISPER.hugging_face
    assert FASTER_WHISPER.ctranslate2
