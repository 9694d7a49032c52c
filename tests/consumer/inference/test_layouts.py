from __future__ import annotations

import pytest
import torch
from whisper.model import ModelDimensions, Whisper

from consumer.inference.layouts import Malformed, Place, check, dimensions, place, shapes

SMALL = ModelDimensions(8, 12, 16, 2, 3, 51865, 10, 16, 4, 2)


def test_shapes_are_those_of_openai_whisper():
    model = Whisper(SMALL)

    assert shapes(SMALL) == {name: tuple(t.shape) for name, t in model.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "hugging_face", "ctranslate2"),
    [
        ("encoder.conv1.weight", "model.encoder.conv1.weight", "encoder/conv1/weight"),
        (
            "encoder.positional_embedding",
            "model.encoder.embed_positions.weight",
            "encoder/position_encodings/encodings",
        ),
        ("decoder.ln.bias", "model.decoder.layer_norm.bias", "decoder/layer_norm/beta"),
        (
            "decoder.token_embedding.weight",
            "model.decoder.embed_tokens.weight",
            "decoder/embeddings/weight",
        ),
        (
            "encoder.blocks.11.mlp.2.bias",
            "model.encoder.layers.11.fc2.bias",
            "encoder/layer_11/ffn/linear_1/bias",
        ),
    ],
)
def test_tensors_have_a_name_in_each_layout(name: str, hugging_face: str, ctranslate2: str):
    assert place(name) == Place(hugging_face, ctranslate2, 0, 1)


def test_tensors_that_ctranslate2_concatenates_have_a_part_number():
    assert place("decoder.blocks.3.cross_attn.value.bias") == Place(
        "model.decoder.layers.3.encoder_attn.v_proj.bias",
        "decoder/layer_3/attention/linear_1/bias",
        1,
        2,
    )


def test_no_two_tensors_share_a_place():
    places = [place(name) for name in shapes(SMALL)]

    assert len({at.hugging_face for at in places}) == len(places)
    assert len({(at.ctranslate2, at.part) for at in places}) == len(places)


@pytest.mark.parametrize("size", [None, 0, -1, 1 << 30, "80", 80.0])
def test_an_implausible_size_is_named(size: object):
    with pytest.raises(Malformed, match="n_mels="):
        dimensions({**vars(SMALL), "n_mels": size})


def test_numbers_of_layers_have_a_lower_limit():
    with pytest.raises(Malformed, match="n_text_layer=100000"):
        dimensions({**vars(SMALL), "n_text_layer": 100_000})


def test_missing_misshapen_and_unknown_tensors_are_named():
    state = {name: torch.zeros(shape) for name, shape in shapes(SMALL).items()}
    check(state, SMALL)
    del state["decoder.ln.bias"]
    state["encoder.conv1.bias"] = torch.zeros(5)
    state["adapter"] = torch.zeros(1)

    with pytest.raises(Malformed) as caught:
        check(state, SMALL)

    assert str(caught.value).split(": ", 1)[1] == (
        "1 tensors missing (first: decoder.ln.bias), "
        "1 tensors of another shape (first: encoder.conv1.bias), "
        "1 tensors unknown (first: adapter)"
    )
