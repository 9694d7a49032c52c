"""One checkpoint written in the layouts that other engines read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from safetensors.torch import save_file
from whisper.tokenizer import Tokenizer as OpenAITokenizer

from bench.engines.catalog import Variant, Weights, keep_quiet
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.layouts import place
from consumer.inference.vocabulary import Vocabulary

NO_TOKEN: Final = 1 << 62  # a rank after all others


@contextmanager
def written(path: Path, checkpoint: Checkpoint, variants: list[Variant]) -> Iterator[Weights]:
    """The layouts that the variants want, in a temporary folder."""
    with TemporaryDirectory(prefix="streamscribe-bench-") as temporary:
        folder, converted = Path(temporary, "hugging_face"), Path(temporary, "ctranslate2")
        wanted = any(variant.hugging_face for variant in variants)
        if wanted:
            write_hugging_face(folder, checkpoint)
        if has_ctranslate2 := any(variant.ctranslate2 for variant in variants):
            convert(folder, converted)
        yield Weights(path, folder if wanted else None, converted if has_ctranslate2 else None)


def write_hugging_face(folder: Path, checkpoint: Checkpoint) -> None:
    """What `transformers` loads: tensors, configurations and the tokenizer."""
    folder.mkdir()
    tensors = {place(name).hugging_face: t.contiguous() for name, t in checkpoint.state.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    vocabulary = Vocabulary(checkpoint.dims.n_vocab, checkpoint.dims.n_text_ctx)
    tokenizer = vocabulary.tokenizer("en")
    special = _special_tokens(tokenizer)
    _tokenizer(tokenizer, special).save(str(folder / "tokenizer.json"))
    files: dict[str, Mapping[str, Any]] = {
        "config.json": _config(checkpoint, tokenizer),
        "generation_config.json": _generation(checkpoint, tokenizer, vocabulary),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "additional_special_tokens": special,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), "utf-8")


def convert(folder: Path, to: Path) -> None:
    """What faster-whisper loads, by CTranslate2's own converter."""
    keep_quiet()
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(folder), copy_files=["tokenizer.json"], load_as_float16=True).convert(
        str(to)
    )


def _config(checkpoint: Checkpoint, tokenizer: OpenAITokenizer) -> dict[str, Any]:
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
    checkpoint: Checkpoint, tokenizer: OpenAITokenizer, vocabulary: Vocabulary
) -> dict[str, Any]:
    """openai-whisper's rules, in transformers' words."""
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


def _ends(tokenizer: OpenAITokenizer) -> dict[str, int]:
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eot)
    return ends | {"decoder_start_token_id": tokenizer.sot}


def _special_tokens(tokenizer: OpenAITokenizer) -> list[str]:
    """In the order of their numbers, which follow those of the text."""
    return sorted(tokenizer.special_tokens, key=tokenizer.special_tokens.__getitem__)


def _tokenizer(tokenizer: OpenAITokenizer, special: list[str]) -> Any:
    """openai-whisper's tokenizer as one of `tokenizers`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    ranks = tokenizer.encoding._mergeable_ranks  # noqa: SLF001 -- tiktoken keeps them nowhere else
    letters = bytes_to_unicode()  # type: ignore[no-untyped-call]
    shown = {piece: "".join(map(letters.__getitem__, piece)) for piece in ranks}
    pairs = (merged_from(piece, ranks) for piece in sorted(ranks, key=ranks.__getitem__))
    made = Tokenizer(
        models.BPE(
            vocab={shown[piece]: rank for piece, rank in ranks.items()},
            merges=[(shown[pair[0]], shown[pair[1]]) for pair in pairs if pair],
        )
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    return made


def merged_from(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes] | None:
    """The two tokens that byte-pair encoding merges into this one; None for a single byte."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = enumerate(map(b"".join, pairwise(parts)))
        _, at = min((ranks.get(pair, NO_TOKEN), at) for at, pair in pairs)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return (parts[0], parts[1]) if len(parts) == 2 else None
