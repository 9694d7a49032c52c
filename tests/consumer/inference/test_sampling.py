from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from consumer.inference.sampling import choose, uniforms

pytestmark = pytest.mark.usefixtures("one_thread")

LOGITS = st.lists(st.floats(-20, 20), min_size=2, max_size=30)
ANY = torch.ones(1, 1)


@given(LOGITS)
def test_temperature_zero_chooses_the_likeliest_token(values: list[float]):
    logits = torch.tensor([values])
    token, logprob = choose(logits, None, ANY)
    assert logits[0, token.item()] == logits.max()
    assert logprob.item() == pytest.approx(logits.log_softmax(-1).max().item(), abs=1e-4)


@given(LOGITS, st.floats(0.001, 1.0), st.sampled_from([0.2, 1.0]))
def test_a_token_is_drawn_by_the_inverse_of_the_cumulative_distribution(
    values: list[float], uniform: float, temperature: float
):
    logits = torch.tensor([values])
    token, logprob = choose(logits, torch.tensor([[temperature]]), torch.tensor([[uniform]]))
    mass = (logits / temperature).softmax(-1).cumsum(-1)[0]
    drawn = int(token.item())
    assert mass[drawn] >= uniform - 1e-4
    assert drawn == 0 or mass[drawn - 1] <= uniform + 1e-4
    assert logprob.item() == pytest.approx(logits.log_softmax(-1)[0, drawn].item(), abs=1e-4)


@given(LOGITS, st.integers(0, 29), st.floats(0.001, 1.0))
def test_a_suppressed_token_is_never_drawn(values: list[float], at: int, uniform: float):
    logits = torch.tensor([values])
    suppressed = at % len(values)
    logits[0, suppressed] = -torch.inf
    token, _ = choose(logits, torch.ones(1, 1), torch.tensor([[uniform]]))
    assert token.item() != suppressed


def test_rows_at_temperature_zero_are_greedy_beside_rows_that_draw():
    logits = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]])
    temperature, uniform = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.01], [0.01]])
    token, _ = choose(logits, temperature, uniform)
    assert token.tolist() == [[1], [0]]


def test_random_numbers_depend_on_the_seed_alone():
    assert torch.equal(uniforms(7, 50), uniforms(7, 50))
    assert not torch.equal(uniforms(7, 50), uniforms(8, 50))
    assert 0 < uniforms(7, 10_000).min() <= uniforms(7, 10_000).max() <= 1
