"""The names of Whisper's tensors in three layouts, as one table.

OpenAI's (used here), Hugging Face's (transformers `WhisperForConditionalGeneration`) and
CTranslate2's (`WhisperSpec` revision 3, which concatenates query, key and value of an attention).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Final, NamedTuple

from torch import Tensor
from whisper.model import ModelDimensions

LAYERS_MAX: Final = 256
SIZE_MAX: Final = 1 << 20


class Malformed(Exception):  # noqa: N818 -- internal: `load` adds the file's name
    """A checkpoint cannot be used; the text states why."""


class Names(NamedTuple):
    """The names of one module (or bare tensor) in three layouts, without its layer's prefix."""

    openai: str
    hugging_face: str
    ctranslate2: str
    part: int = 0  # index of its block of rows in CTranslate2's variable
    parts: int = 1  # equal blocks of rows in that variable


TABLE: Final = (
    Names("attn_ln", "self_attn_layer_norm", "self_attention/layer_norm"),
    Names("attn.query", "self_attn.q_proj", "self_attention/linear_0", 0, 3),
    Names("attn.key", "self_attn.k_proj", "self_attention/linear_0", 1, 3),
    Names("attn.value", "self_attn.v_proj", "self_attention/linear_0", 2, 3),
    Names("attn.out", "self_attn.out_proj", "self_attention/linear_1"),
    Names("cross_attn_ln", "encoder_attn_layer_norm", "attention/layer_norm"),
    Names("cross_attn.query", "encoder_attn.q_proj", "attention/linear_0"),
    Names("cross_attn.key", "encoder_attn.k_proj", "attention/linear_1", 0, 2),
    Names("cross_attn.value", "encoder_attn.v_proj", "attention/linear_1", 1, 2),
    Names("cross_attn.out", "encoder_attn.out_proj", "attention/linear_2"),
    Names("mlp_ln", "final_layer_norm", "ffn/layer_norm"),
    Names("mlp.0", "fc1", "ffn/linear_0"),
    Names("mlp.2", "fc2", "ffn/linear_1"),
    Names("conv1", "conv1", "conv1"),
    Names("conv2", "conv2", "conv2"),
    Names("ln_post", "layer_norm", "layer_norm"),
    Names("ln", "layer_norm", "layer_norm"),
    Names("token_embedding", "embed_tokens", "embeddings"),
    Names("positional_embedding", "embed_positions", "position_encodings"),
)
_BY_OPENAI: Final = {names.openai: names for names in TABLE}
_OPENAI: Final = re.compile(r"(encoder|decoder)\.(?:blocks\.(\d+)\.)?(.+?)(?:\.(weight|bias))?")


class Place(NamedTuple):
    """The location of a tensor in the other layouts."""

    hugging_face: str
    ctranslate2: str
    part: int
    parts: int


def place(name: str) -> Place:
    """Return the location of a tensor by its OpenAI name."""
    match = _OPENAI.fullmatch(name)
    assert match
    side, layer, module, leaf = match.groups()
    names = _BY_OPENAI[module]
    layers, layer_ = (f"layers.{layer}.", f"layer_{layer}/") if layer else ("", "")
    return Place(
        f"model.{side}.{layers}{names.hugging_face}.{leaf or 'weight'}",
        f"{side}/{layer_}{names.ctranslate2}/{_ctranslate2_leaf(names, leaf)}",
        names.part,
        names.parts,
    )


def _ctranslate2_leaf(names: Names, leaf: str | None) -> str:
    if leaf is None:
        return "encodings"
    if names.ctranslate2.endswith("layer_norm"):
        return {"weight": "gamma", "bias": "beta"}[leaf]
    return leaf


def dimensions(sizes: Mapping[str, object]) -> ModelDimensions:
    """Check sizes by OpenAI's names and return them. Raises `Malformed`."""
    names = [field.name for field in fields(ModelDimensions)]
    if bad := [name for name in names if not _is_plausible(name, sizes.get(name))]:
        listed = ", ".join(f"{name}={sizes.get(name)!r}" for name in bad)
        raise Malformed(f"sizes are missing or implausible: {listed}; name a Whisper model")
    return ModelDimensions(**{name: sizes[name] for name in names})


def _is_plausible(name: str, size: object) -> bool:
    most = LAYERS_MAX if name.endswith("_layer") else SIZE_MAX
    return isinstance(size, int) and 0 < size <= most


Shape = tuple[int, ...]


def shapes(dims: ModelDimensions) -> dict[str, Shape]:
    """Return the shape of every tensor of a model of these sizes, by OpenAI's name.

    They are written out, because building the modules on torch's meta device imports for 3 s.
    """
    audio, text = dims.n_audio_state, dims.n_text_state
    return {
        "encoder.positional_embedding": (dims.n_audio_ctx, audio),
        **_module("encoder.conv1", audio, dims.n_mels, 3),
        **_module("encoder.conv2", audio, audio, 3),
        **_blocks("encoder", dims.n_audio_layer, audio, "attn"),
        **_module("encoder.ln_post", audio),
        "decoder.token_embedding.weight": (dims.n_vocab, text),
        "decoder.positional_embedding": (dims.n_text_ctx, text),
        **_blocks("decoder", dims.n_text_layer, text, "attn", "cross_attn"),
        **_module("decoder.ln", text),
    }


def _module(name: str, *weight: int) -> dict[str, Shape]:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def _blocks(side: str, layers: int, state: int, *attentions: str) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for block in (f"{side}.blocks.{layer}" for layer in range(layers)):
        for attention in (f"{block}.{attention}" for attention in attentions):
            for part in ("query", "value", "out"):
                found |= _module(f"{attention}.{part}", state, state)
            found[f"{attention}.key.weight"] = (state, state)  # keys have no bias
            found |= _module(f"{attention}_ln", state)
        found |= _module(f"{block}.mlp.0", 4 * state, state)
        found |= _module(f"{block}.mlp.2", state, 4 * state)
        found |= _module(f"{block}.mlp_ln", state)
    return found


def check(state: Mapping[str, Tensor], dims: ModelDimensions) -> None:
    """Raise `Malformed` unless `state` has exactly the tensors of a model of these sizes."""
    expected = shapes(dims)
    problems = (
        ("missing", sorted(expected.keys() - state.keys())),
        ("of another shape", [n for n in expected if n in state and state[n].shape != expected[n]]),
        ("unknown", sorted(state.keys() - expected.keys())),
    )
    found = [
        f"{len(names)} tensors {kind} (first: {names[0]})" for kind, names in problems if names
    ]
    if found:
        raise Malformed(f"not a Whisper model of its stated sizes: {', '.join(found)}")
