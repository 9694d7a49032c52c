from __future__ import annotations

import numpy as np
import pytest
import torch
from small_whisper import DIMS, checkpoint_of, small_whisper
from torch import Tensor

from consumer.core.scheduling.capacity import CONTEXT
from consumer.inference.fold import Fold, folded, padded, stack
from consumer.inference.layers import ByteLinear, Linear, Parameters, Product
from consumer.inference.mel import LogMel
from consumer.inference.model import Decoder, DecoderCache, Encoder
from consumer.inference.quantized import QuantizedLinear

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
WHISPER = small_whisper()
PARAMETERS = Parameters(checkpoint_of(WHISPER).state, CPU, torch.float32)
ENCODER = Encoder(PARAMETERS, DIMS)
DECODER = Decoder(PARAMETERS, DIMS, ((0, 1), (1, 0)))
MEL = LogMel(DIMS.n_mels, CPU)


def clip(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).standard_normal(samples).astype(np.float32)


def encode(*lengths: int, folds: list[Fold]) -> tuple[Tensor, Tensor]:
    """Return features, and the bias of their positions."""
    batch = stack(folds)
    source, positions, bias = map(torch.from_numpy, (batch.source, batch.positions, batch.bias))
    mel = MEL([clip(n) for n in lengths], batch.stem)
    return ENCODER(mel, source, positions, bias[:, None, None]), bias[:, None, None]


@torch.inference_mode()
def test_features_of_all_positions_equal_openai_whisper():
    features, _ = encode(64_000, 5_000, folds=[padded(64_000), padded(5_000)])
    mel = MEL([clip(64_000), clip(5_000)], CONTEXT)
    expected = WHISPER.encoder(mel.transpose(1, 2))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("samples", [320, 63_999, 64_000, 474_900, 475_200, 476_000, 480_000])
@torch.inference_mode()
def test_convolutions_of_the_real_part_equal_those_of_thirty_seconds(samples: int):
    """Without blocks the encoder returns the output of the convolutions, here at both edges too."""
    stem_only = Encoder.__new__(Encoder)
    for name, value in vars(ENCODER).items():
        setattr(stem_only, name, [] if name == "_blocks" else value)
    batch = stack([padded(samples)])
    source, positions = torch.from_numpy(batch.source), torch.from_numpy(batch.positions)
    bias = torch.zeros(1, 1, 1, CONTEXT)
    short = stem_only(MEL([clip(samples)], batch.stem), source, positions, bias)
    whole = stem_only(MEL([clip(samples)], CONTEXT), positions, positions, bias)
    torch.testing.assert_close(short, whole, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_features_of_a_row_do_not_depend_on_its_batch():
    lengths = (64_000, 5_000, 200_000)
    together, bias = encode(*lengths, folds=[folded(n) for n in lengths])
    for row, samples in enumerate(lengths):
        alone, own = encode(samples, folds=[folded(samples)])
        kept = together[row][bias[row, 0, 0].isfinite()]
        torch.testing.assert_close(kept, alone[0][own[0, 0, 0].isfinite()], rtol=1e-4, atol=1e-4)


def decoder_cache(features: Tensor, bias: Tensor) -> DecoderCache:
    rows = len(features)
    heads = (rows, DIMS.n_text_layer, 2, DIMS.n_text_head)
    own = torch.zeros(*heads, DIMS.n_text_ctx, 16)
    cross = torch.zeros(*heads, features.shape[1], 16)
    DECODER.read_audio(features, cross)
    return DecoderCache(own, cross, bias, torch.zeros(rows, 2, DIMS.n_text_ctx, 16))


@torch.inference_mode()
def test_steps_with_a_cache_equal_openai_whisper_on_the_whole_text():
    features, bias = encode(64_000, folds=[padded(64_000)])
    tokens = torch.tensor([[50258, 50259, 50359, 50363, 100, 200, 300]])
    expected = WHISPER.decoder(tokens, features)
    cache = decoder_cache(features, bias)
    for at in range(tokens.shape[1]):
        column = torch.tensor([at])
        mask = torch.full((1, 1, 1, 8), -torch.inf)
        mask[..., : at + 1] = 0
        states = DECODER(tokens[:, at : at + 1], column[None], column, mask, cache)
        torch.testing.assert_close(
            DECODER.logits(states[:, 0]), expected[:, at], rtol=1e-4, atol=1e-3
        )


@torch.inference_mode()
def test_logits_of_some_tokens_equal_those_of_all():
    states = torch.randn(3, DIMS.n_text_state)
    every = DECODER.logits(states)
    same, own = torch.tensor([7, 50_300]), torch.tensor([[7, 1], [8, 2], [9, 50_300]])
    for chosen, expected in ((same, every[:, same]), (own, every.gather(1, own))):
        torch.testing.assert_close(
            DECODER.logits_of(states, chosen), expected, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("rows", [4, 500])
@pytest.mark.parametrize(
    ("dtype", "layer"), [(torch.bfloat16, Linear), (torch.float32, QuantizedLinear)]
)
@torch.inference_mode()
def test_the_likeliest_token_is_exact_in_every_dtype(
    rows: int, dtype: torch.dtype, layer: type[Product]
):
    """By rounded bf16 logits one in forty would differ, by int8 logits one in twenty."""
    decoder = Decoder(Parameters(checkpoint_of(WHISPER).state, CPU, dtype, layer), DIMS)
    states = torch.randn(500, DIMS.n_text_state).to(dtype)
    rounded = WHISPER.decoder.token_embedding.weight.to(dtype).double()
    exact = states.double() @ rounded.T
    best, likeliest = torch.cat([decoder.logits(some) for some in states.split(rows)]).max(1)
    assert (likeliest == exact.argmax(1)).float().mean() > 0.995
    torch.testing.assert_close(best.double(), exact.amax(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_a_linear_map_with_gelu_equals_torchs(dtype: torch.dtype):
    parameters = Parameters(checkpoint_of(WHISPER).state, CPU, dtype)
    x = torch.randn(5, 32).to(dtype)
    up = WHISPER.encoder.blocks[0].mlp[0].to(dtype)
    expected = torch.nn.functional.gelu(up(x))
    block = "encoder.blocks.0"
    _, product = parameters.normed(f"{block}.mlp_ln", f"{block}.mlp.0", gelu=True)
    got = product(x)
    up.to(torch.float32)
    torch.testing.assert_close(got, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gelu", [False, True])
@torch.inference_mode()
def test_a_byte_linear_maps_few_rows_as_it_maps_many(dtype: torch.dtype, gelu: bool):
    torch.manual_seed(0)
    layer = ByteLinear(torch.randn(96, 64).to(dtype), torch.randn(96).to(dtype), gelu=gelu)
    x = torch.randn(3, 8, 64).to(dtype)
    few = torch.cat([layer(x[:, at : at + 1]) for at in range(x.shape[1])], 1)
    torch.testing.assert_close(few, layer(x), rtol=2e-2, atol=2e-2)


@torch.inference_mode()
def test_the_error_of_a_byte_weight_is_bounded_by_the_largest_of_its_row():
    weight = torch.randn(96, 64) * torch.logspace(-4, 2, 96)[:, None]
    weight[5] = 0
    kept = ByteLinear(weight, None)(torch.eye(64)).T
    assert ((kept - weight).abs() <= weight.abs().amax(1, keepdim=True) / 127).all()
