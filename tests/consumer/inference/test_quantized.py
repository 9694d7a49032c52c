from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from consumer.inference import quantized
from consumer.inference.quantized import QuantizedLinear, balanced, is_supported, speedup

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not is_supported(), reason="FBGEMM is for x86 only"),
]


def parameters(outputs: int = 96, inputs: int = 64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=generator)
    weight *= torch.logspace(-3, 1, outputs)[:, None]  # outputs of different magnitudes
    return weight, torch.randn(outputs, generator=generator)


def inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(1,), (40,), (3, 30), (5, 7, 20)])
@pytest.mark.parametrize("gelu", [False, True])
@torch.inference_mode()
def test_a_product_is_that_of_fp32_within_a_few_percent(shape: tuple[int, ...], gelu: bool):
    (weight, bias), x = parameters(), inputs(*shape)
    expected = F.linear(x, weight, bias)
    expected = F.gelu(expected) if gelu else expected
    got = QuantizedLinear(weight, bias, gelu=gelu)(x)
    assert got.shape == expected.shape
    magnitude = weight.norm(dim=1) * x.norm(dim=-1, keepdim=True) / len(weight[0]) ** 0.5
    assert ((got - expected).abs() / magnitude).max() < 0.1
    assert ((got - expected) / magnitude).std() < 0.02


@given(st.floats(-6, 6))
def test_the_scale_of_a_row_makes_no_difference(exponent: float):
    weight, _ = parameters()
    product, x, scale = QuantizedLinear(weight, None), inputs(3), 10**exponent
    torch.testing.assert_close(product(x * scale), product(x) * scale, rtol=1e-3, atol=0.1 * scale)


@given(st.integers(1, 20), st.integers(0, 19))
def test_a_row_does_not_depend_on_the_others(rows: int, at: int):
    weight, bias = parameters()
    product, x = QuantizedLinear(weight, bias), inputs(20)
    x[1:] *= torch.logspace(-3, 3, 19)[:, None]
    row = x[at % rows]
    assert product(x[:rows])[at % rows].equal(product(row[None])[0])


def test_a_row_of_zeros_gives_the_bias():
    weight, bias = parameters()
    got = QuantizedLinear(weight, bias)(torch.zeros(2, 64))
    torch.testing.assert_close(got, bias.expand(2, -1), rtol=0, atol=1e-6)


@torch.inference_mode()
def test_an_input_after_gelu_has_smaller_steps():
    (weight, bias), x = parameters(), F.gelu(2 * inputs(200))
    expected = F.linear(x, weight, bias)
    errors = [
        (QuantizedLinear(weight, bias, after_gelu=after)(x) - expected).abs().mean(0)
        for after in (True, False)
    ]
    assert (errors[0] / errors[1]).mean() < 0.95


@torch.inference_mode()
def test_balancing_a_norm_and_its_product_changes_neither():
    (weight, bias), x = parameters(), inputs(50)
    scale, shift = torch.logspace(-2, 1, 64), torch.linspace(-1, 1, 64)
    plain = F.linear(F.layer_norm(x, (64,), scale, shift), weight, bias)
    other_scale, other_shift, other_weight = balanced(scale, shift, weight)
    normed = F.layer_norm(x, (64,), other_scale, other_shift)
    torch.testing.assert_close(F.linear(normed, other_weight, bias), plain, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_balancing_makes_errors_smaller():
    """One input is a hundred times as large as the others."""
    (weight, _), x = parameters(), inputs(50)
    scale, shift = torch.ones(64), torch.zeros(64)
    scale[7], weight[:, 7] = 100, weight[:, 7] / 100
    expected = F.linear(F.layer_norm(x, (64,), scale, shift), weight)
    errors = []
    for norm_scale, norm_shift, factor in (
        (scale, shift, weight),
        balanced(scale, shift, weight),
    ):
        normed = F.layer_norm(x, (64,), norm_scale, norm_shift)
        errors.append((QuantizedLinear(factor, None)(normed) - expected).abs().mean(0))
    assert (errors[1] / errors[0]).mean() < 0.2


def test_no_sum_of_bytes_overflows():
    """The largest inputs and weights, of one sign: with 8-bit weights, 16-bit sums saturate."""
    for after_gelu in (False, True):
        product = QuantizedLinear(torch.ones(8, 512), None, after_gelu=after_gelu)
        got = product(torch.full((4, 512), 2.0))
        torch.testing.assert_close(got, torch.full((4, 8), 1024.0), rtol=1e-2, atol=0)


def test_the_speedup_is_measured_and_threads_are_restored(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    assert speedup() > 0.1
    assert torch.get_num_threads() == before
    monkeypatch.setattr(quantized, "_PRODUCT", "no_such_product")
    assert speedup() == 0.0
