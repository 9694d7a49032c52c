"""One checkpoint, written in the layouts that other engines read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import save_file
from whisper.tokenizer import Tokenizer

from bench.engine.engines.catalog import Variant, Weights, keep_quiet
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.layouts import place
from consumer.inference.vocabulary import Vocabulary


@contextmanager
def written(path: Path, checkpoint: Checkpoint, variants: Iterable[Variant]) -> Iterator[Weights]:
    """Write the layouts that the variants read to a temporary folder."""
    hugging_face = any(variant.hugging_face for variant in variants)
    ctranslate2 = any(variant.ctranslate2 for variant in variants)
    with TemporaryDirectory(prefix="streamscribe-bench-") as temporary:
        folder, converted = Path(temporary, "hugging_face"), Path(temporary, "ctranslate2")
        if hugging_face:
            write_hugging_face(folder, checkpoint)
        if ctranslate2:
            convert(folder, converted)
        yield Weights(path, folder if hugging_face else None, converted if ctranslate2 else None)


def write_hugging_face(folder: Path, checkpoint: Checkpoint) -> None:
    """Write what `transformers` loads: tensors, configurations and the tokenizer."""
    folder.mkdir()
    tensors = {place(name).hugging_face: t.contiguous() for name, t in checkpoint.state.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    vocabulary = Vocabulary(checkpoint.dims.n_vocab, checkpoint.dims.n_text_ctx)
    tokenizer = vocabulary.tokenizer("en")
    special = sorted(tokenizer.special_tokens, key=tokenizer.special_tokens.__getitem__)
    _converted(tokenizer, special).save(str(folder / "tokenizer.json"))
    contents: dict[str, Mapping[str, Any]] = {
        "config.json": _config(checkpoint, tokenizer),
        "generation_config.json": _generation(checkpoint, tokenizer, vocabulary),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "additional_special_tokens": special,
        },
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), "utf-8")


def convert(folder: Path, to: Path) -> None:
    """Write what faster-whisper loads, by CTranslate2's own converter."""
    keep_quiet()
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(folder), copy_files=["tokenizer.json"], load_as_float16=True).convert(
        str(to)
    )


def _config(checkpoint: Checkpoint, tokenizer: Tokenizer) -> dict[str, Any]:
    dims = checkpoint.dims
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "is_encoder_decoder": True,
        "num_mel_bins": dims.n_mels,
        "max_source_positions": dims.n_audio_ctx,
        "d_model": dims.n_audio_state,
        "encoder_attention_heads": dims.n_audio_head,
        "encoder_ffn_dim": 4 * dims.n_audio_state,
        "encoder_layers": dims.n_audio_layer,
        "vocab_size": dims.n_vocab,
        "max_target_positions": dims.n_text_ctx,
        "decoder_attention_heads": dims.n_text_head,
        "decoder_ffn_dim": 4 * dims.n_text_state,
        "decoder_layers": dims.n_text_layer,
        **_ends(tokenizer),
    }


def _generation(
    checkpoint: Checkpoint, tokenizer: Tokenizer, vocabulary: Vocabulary
) -> dict[str, Any]:
    """Return openai-whisper's decoding rules as transformers names them."""
    suppressed = {tokenizer.transcribe, tokenizer.translate, tokenizer.sot, tokenizer.no_speech}
    suppressed |= {tokenizer.sot_prev, tokenizer.sot_lm, *tokenizer.non_speech_tokens}
    return {
        "alignment_heads": [list(head) for head in checkpoint.alignment_heads],
        "suppress_tokens": sorted(suppressed),
        "begin_suppress_tokens": [*tokenizer.encode(" "), tokenizer.eot],
        "is_multilingual": vocabulary.multilingual,
        "lang_to_id": {f"<|{code}|>": t for code, t in vocabulary.language_tokens.items()},
        "task_to_id": {"transcribe": tokenizer.transcribe, "translate": tokenizer.translate},
        "max_length": checkpoint.dims.n_text_ctx,
        "no_timestamps_token_id": tokenizer.no_timestamps,
        "prev_sot_token_id": tokenizer.sot_prev,
        **_ends(tokenizer),
    }


def _ends(tokenizer: Tokenizer) -> dict[str, int]:
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eot)
    return ends | {"decoder_start_token_id": tokenizer.sot}


def _converted(tokenizer: Tokenizer, special: list[str]) -> Any:
    """Return openai-whisper's tokenizer as one of `tokenizers`; `special` tokens by number."""
    from tokenizers import decoders, pre_tokenizers
    from transformers.convert_slow_tokenizer import TikTokenConverter

    ranks = files("whisper").joinpath("assets", tokenizer.encoding.name)
    with as_file(ranks) as file:
        made = TikTokenConverter(str(file)).tokenizer()  # type: ignore[no-untyped-call]
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    return made
