"""Choose the next tokens from logits."""

from __future__ import annotations

import torch
from torch import Tensor


def choose(
    logits: Tensor, temperature: Tensor | None, uniform: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the next tokens [B, 1] and their log-probabilities [B, 1] from fp32 logits [B, V].

    Rows at temperature 0, and all rows without `temperature` [B, 1], get the likeliest token. Other
    rows draw by inverting the cumulative distribution at `uniform` [B, 1] in (0, 1]. The
    log-probability is that at temperature 1, as in openai-whisper.
    """
    peak, token = logits.max(dim=-1, keepdim=True)
    shifted = logits - peak
    if temperature is not None and uniform is not None:
        mass = (shifted / temperature).exp_().cumsum(-1)
        drawn = torch.searchsorted(mass, uniform * mass[:, -1:])
        token = torch.where(temperature > 0, drawn, token)
    logprob = shifted.gather(1, token)
    return token, logprob - shifted.exp_().sum(-1, keepdim=True).log_()


def probability(logits: Tensor, token: int) -> Tensor:
    """Return the probability of one token, [B], from logits [B, V]."""
    return logits.softmax(-1)[:, token]


def uniforms(seed: int, count: int) -> Tensor:
    """Return random numbers [count] in (0, 1] that depend on the seed alone."""
    return 1 - torch.rand(count, generator=torch.Generator().manual_seed(seed))
