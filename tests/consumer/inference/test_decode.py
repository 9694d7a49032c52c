from __future__ import annotations

import torch

from consumer.inference.decode import prompt_mask


def test_rows_attend_only_to_their_own_prompts():
    mask = prompt_mask(torch.tensor([[0], [2]]), torch.arange(4))
    assert (mask[:, 0] == 0).int().tolist() == [
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]],
    ]
