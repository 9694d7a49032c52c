"""Read checkpoints of three formats as one state dict with openai-whisper's names.

OpenAI `.pt`, Hugging Face folder (config.json and safetensors, sharded or not) and CTranslate2
folder (`model.bin`). No code in a file is executed: pickles are read with `weights_only`.
"""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import whisper
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from whisper.model import ModelDimensions

from consumer.errors import ConfigError
from consumer.inference import ct2_file
from consumer.inference.layouts import Malformed, check, dimensions, place, shapes
from weights.resolve import name_of, sha256_of, tensor_files

Heads = tuple[tuple[int, int], ...]

# Sizes of OpenAI's models: encoder layers, decoder layers, decoder heads.
OFFICIAL: Final = {
    (4, 4, 6): "tiny",
    (6, 6, 8): "base",
    (12, 12, 12): "small",
    (24, 24, 16): "medium",
    (32, 32, 20): "large",
    (32, 4, 20): "large-v3-turbo",
}
ENGLISH_VOCABULARY: Final = 51_864  # tokens; multilingual models have one more, since v3 two
V3_VOCABULARY: Final = 51_866


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Weights in memory (or mapped into it), in the dtype of their file."""

    name: str  # OpenAI's name for known weights, else that of the file or folder
    sha256: str  # of the file with the tensors
    dims: ModelDimensions
    state: dict[str, Tensor]  # OpenAI names
    alignment_heads: Heads  # sorted (decoder layer, head) whose attention follows the audio


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The contents of a file."""

    dims: ModelDimensions
    state: dict[str, Tensor]
    heads: Any = None  # unchecked JSON; None: not in the file


def load(path: Path, *, sha256: str | None = None) -> Checkpoint:
    """Read a checkpoint file or folder; with `sha256` given, the file is not hashed.

    Raises `ConfigError` that names the file and its problem.
    """
    try:
        parts = _reader(path)(path)
        check(parts.state, parts.dims)
        sha256 = sha256 or sha256_of(path)
        name = name_of(path, sha256)
        heads = _checked(parts.heads, parts.dims) if parts.heads else usual_heads(name, parts.dims)
    except (Malformed, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return Checkpoint(name, sha256, parts.dims, parts.state, heads)


def _reader(path: Path) -> Callable[[Path], _Parts]:
    if path.is_file():
        return _openai
    if (path / "model.bin").is_file():
        return _ctranslate2
    if tensor_files(path):
        return _hugging_face
    raise Malformed(
        "neither a file nor a folder with model.bin or model.safetensors; name another path"
    )


def _openai(path: Path) -> _Parts:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        dims, state = content["dims"], dict(content["model_state_dict"])
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as e:
        raise Malformed(
            "not an OpenAI Whisper checkpoint; name the folder for weights in another format"
        ) from e
    return _Parts(dimensions(dims), state)


def _hugging_face(folder: Path) -> _Parts:
    config = _json(folder / "config.json")
    dims = dimensions(
        {
            "n_mels": config.get("num_mel_bins"),
            "n_audio_ctx": config.get("max_source_positions"),
            "n_audio_state": config.get("d_model"),
            "n_audio_head": config.get("encoder_attention_heads"),
            "n_audio_layer": config.get("encoder_layers"),
            "n_vocab": config.get("vocab_size"),
            "n_text_ctx": config.get("max_target_positions"),
            "n_text_state": config.get("d_model"),
            "n_text_head": config.get("decoder_attention_heads"),
            "n_text_layer": config.get("decoder_layers"),
        }
    )
    tensors: dict[str, Tensor] = {}
    for file in tensor_files(folder):
        try:
            tensors |= load_file(file)
        except SafetensorError as error:
            raise Malformed(f"{file.name}: {error}; download it again") from error
    _tie(tensors, "proj_out.weight", "model.decoder.embed_tokens.weight")
    ours = {place(name).hugging_face: name for name in shapes(dims)}
    state = {ours.get(name, name): tensor for name, tensor in tensors.items()}
    generation = _json(folder / "generation_config.json", required=False)
    return _Parts(dims, state, generation.get("alignment_heads"))


def _ctranslate2(folder: Path) -> _Parts:
    variables = ct2_file.read(folder / "model.bin")
    dims = _ctranslate2_dims(variables)
    _tie(variables, "decoder/projection/weight", "decoder/embeddings/weight")
    places = {name: place(name) for name in shapes(dims)}
    state = {
        name: variables[at.ctranslate2].chunk(at.parts)[at.part]
        for name, at in places.items()
        if at.ctranslate2 in variables
    }
    used = {at.ctranslate2 for at in places.values()}
    state |= {name: t for name, t in variables.items() if t.dim() and name not in used}
    config = _json(folder / "config.json", required=False)
    return _Parts(dims, state, config.get("alignment_heads"))


def _ctranslate2_dims(variables: dict[str, Tensor]) -> ModelDimensions:
    try:
        audio_ctx, audio_state = variables["encoder/position_encodings/encodings"].shape
        text_ctx, text_state = variables["decoder/position_encodings/encodings"].shape
        return dimensions(
            {
                "n_mels": variables["encoder/conv1/weight"].shape[1],
                "n_audio_ctx": audio_ctx,
                "n_audio_state": audio_state,
                "n_audio_head": int(variables["encoder/num_heads"]),
                "n_audio_layer": _layers(variables, "encoder"),
                "n_vocab": len(variables["decoder/embeddings/weight"]),
                "n_text_ctx": text_ctx,
                "n_text_state": text_state,
                "n_text_head": int(variables["decoder/num_heads"]),
                "n_text_layer": _layers(variables, "decoder"),
            }
        )
    except KeyError as error:
        raise Malformed(f"{error.args[0]} is missing; convert the model again") from error
    except (IndexError, TypeError, ValueError, RuntimeError) as error:
        raise Malformed(f"not a Whisper model: a tensor has a wrong shape ({error})") from error


def _layers(variables: Iterable[str], side: str) -> int:
    """Count the layers of the encoder or decoder."""
    layer = re.compile(rf"{side}/layer_(\d+)/")
    return len({match[1] for name in variables if (match := layer.match(name))})


def _tie(tensors: dict[str, Tensor], projection: str, embedding: str) -> None:
    """Drop the output projection, which Whisper shares with the embedding."""
    output, shared = tensors.pop(projection, None), tensors.get(embedding)
    if output is None or shared is None or output is shared or torch.equal(output, shared):
        return
    raise Malformed(
        f"{projection} differs from {embedding}, but Whisper has one tensor for both; "
        "fine-tune with tied embeddings"
    )


def usual_heads(name: str, dims: ModelDimensions) -> Heads:
    """Return OpenAI's alignment heads for weights of this name, or else of these sizes.

    Others get openai-whisper's default: all heads of the upper half of the decoder's layers.
    """
    dump = whisper._ALIGNMENT_HEADS.get(name) or whisper._ALIGNMENT_HEADS.get(official_name(dims))  # noqa: SLF001 -- published nowhere else
    if dump:
        mask = np.frombuffer(gzip.decompress(base64.b85decode(dump)), dtype=bool)
        if mask.size == dims.n_text_layer * dims.n_text_head:
            rows, heads = mask.reshape(dims.n_text_layer, dims.n_text_head).nonzero()
            return tuple(zip(rows.tolist(), heads.tolist(), strict=True))
    upper = range(dims.n_text_layer // 2, dims.n_text_layer)
    return tuple((layer, head) for layer in upper for head in range(dims.n_text_head))


def official_name(dims: ModelDimensions) -> str | None:
    """Return OpenAI's model of these sizes, from which others are usually fine-tuned."""
    size = OFFICIAL.get((dims.n_audio_layer, dims.n_text_layer, dims.n_text_head))
    if dims.n_vocab == ENGLISH_VOCABULARY:
        return f"{size}.en"
    if size == "large":  # v1 has the sizes of v2 and is rare
        return "large-v3" if dims.n_vocab == V3_VOCABULARY else "large-v2"
    return size


def _checked(heads: Any, dims: ModelDimensions) -> Heads:
    try:
        pairs = sorted((index(layer), index(head)) for layer, head in heads)
    except (TypeError, ValueError):
        pairs = [(-1, -1)]
    if all(0 <= at < dims.n_text_layer and 0 <= head < dims.n_text_head for at, head in pairs):
        return tuple(pairs)
    raise Malformed(
        f"alignment_heads are not (layer, head) pairs of this model: {heads!r:.80}; "
        "correct or remove them"
    )


def _json(file: Path, *, required: bool = True) -> dict[str, Any]:
    if not required and not file.exists():
        return {}
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise Malformed(f"{file.name} is not JSON: {error}; download it again") from error
    if not isinstance(content, dict):
        raise Malformed(f"{file.name} is not a JSON object; download it again")
    return content
