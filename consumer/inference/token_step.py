"""One step of a batch decode, on buffers that all batches share, and the removal of rows.

A step works in place, has no shape that depends on a value and never synchronises with the host, so
a device can replay it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from itertools import count
from typing import Self, TypeVar

import torch
from torch import Tensor

from consumer.inference.device import to_device
from consumer.inference.model import Decoder, DecoderCache
from consumer.inference.sampling import choose, uniforms
from consumer.inference.workspace import Workspace

_KNOWN_PLACES = 4096
_numbers = count()


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRow:
    """The decode that one row requests."""

    prompt: Sequence[int]  # tokens before the text
    seed: int  # of the row's own random numbers; any at temperature 0
    temperature: float = 0.0  # 0: greedy; above 0: tokens are drawn
    align: int | None = None  # leading audio positions of the speech; None: no word times


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What rows need to draw their tokens; tensors on the device, rows first."""

    temperature: Tensor  # [B, 1] fp32
    uniform: Tensor  # [B, limit] random numbers in (0, 1], fp32

    @classmethod
    def begun(
        cls, workspace: Workspace, requests: Sequence[DecodeRow], rows: int, limit: int
    ) -> Self | None:
        """Return the numbers of `rows` rows, the first of which are requested; None: none draws.

        Those of rows at temperature 0 are not used, and rows of one clip share a seed.
        """
        seeds = {request.seed for request in requests if request.temperature > 0}
        if not seeds:
            return None
        drawn = {seed: uniforms(seed, limit) for seed in seeds}
        temperatures, numbers = torch.zeros(rows, 1), torch.ones(rows, limit)
        for row, request in enumerate(requests):
            temperatures[row] = request.temperature
            numbers[row] = drawn.get(request.seed, numbers[row])
        drawing = cls.reserved(workspace, rows, limit)
        drawing.temperature.copy_(to_device(temperatures, workspace.device))
        drawing.uniform.copy_(to_device(numbers, workspace.device))
        return drawing

    @classmethod
    def reserved(cls, workspace: Workspace, rows: int, limit: int) -> Self:
        """Return the buffers, whose values are not set."""
        buffer = workspace.buffer
        return cls(
            temperature=buffer("temperature", rows, 1, dtype=torch.float),
            uniform=buffer("uniform", rows, limit, dtype=torch.float),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """The growing texts of all rows; few tensors on the device, rows first, that rows move in."""

    mask: Tensor  # [B, 1, 1, C] 0 where a row may attend to a column, else -inf
    numbers: Tensor  # [B, 3 + limit]
    scores: Tensor  # [B, 1 + limit] fp32

    @classmethod
    def begun(cls, workspace: Workspace, rows: int, columns: int, limit: int) -> Self:
        """Return texts without tokens, whose positions are not set."""
        buffer = workspace.buffer
        return cls(
            mask=buffer("mask", rows, 1, 1, columns).fill_(-torch.inf),
            numbers=buffer("numbers", rows, 3 + limit, dtype=torch.long).zero_(),
            scores=buffer("scores", rows, 1 + limit, dtype=torch.float),
        )

    @property
    def token(self) -> Tensor:
        """[B, 1] the newest."""
        return self.numbers[:, :1]

    @property
    def position(self) -> Tensor:
        """[B, 1] of that token, counted from the row's own first token."""
        return self.numbers[:, 1:2]

    @property
    def ended(self) -> Tensor:
        """[B] 1 if the end token is among the tokens, else 0."""
        return self.numbers[:, 2]

    @property
    def tokens(self) -> Tensor:
        """[B, limit]."""
        return self.numbers[:, 3:]

    @property
    def no_speech(self) -> Tensor:
        """[B] the probability that the audio has no speech."""
        return self.scores[:, 0]

    @property
    def logprobs(self) -> Tensor:
        """[B, limit] of the tokens."""
        return self.scores[:, 1:]


_Rows = TypeVar("_Rows", DecoderCache, Text, Drawing)


@dataclass(frozen=True, eq=False)
class TokenStep:
    """Appends one token to every row, in place. All steps of a bucket run the same operations."""

    decoder: Decoder
    cache: DecoderCache
    text: Text
    drawing: Drawing | None  # None: no row's temperature is above 0
    column: Tensor  # [1] the cache column to write next
    count: Tensor  # [1] tokens of every row so far
    mask: Tensor  # [V] added to the logits
    end: int  # the end token
    width: int = 0  # leading cache columns that are attended to

    @cached_property
    def bucket(self) -> Hashable:
        buffers = (*tensors(self.cache), *tensors(self.text), *tensors(self.drawing))
        return self.width, _place(tuple((each.data_ptr(), each.shape) for each in buffers))

    def __call__(self) -> None:
        text = self.text
        text.mask.index_fill_(3, self.column, 0)
        mask = text.mask[..., : self.width]
        states = self.decoder(text.token, text.position, self.column, mask, self.cache)
        self.column.add_(1)
        text.position.add_(1)
        self.append(states[:, -1], self.mask)

    def append(self, states: Tensor, mask: Tensor) -> None:
        """Choose and append the tokens that follow the states [B, D]."""
        text, drawing = self.text, self.drawing
        logits = self.decoder.logits(states).add_(mask)
        temperature = drawing.temperature if drawing else None
        uniform = drawing.uniform.index_select(1, self.count) if drawing else None
        token, logprob = choose(logits, temperature, uniform)
        text.token.copy_(token)
        text.tokens.index_copy_(1, self.count, token)
        text.logprobs.index_copy_(1, self.count, logprob)
        text.ended.bitwise_or_(token[:, 0] == self.end)
        self.count.add_(1)

    def kept(self, slots: Sequence[int], used: int, rows: int) -> TokenStep:
        """Return the step of the rows at `slots`, in the order of `kept_slots`, in the first rows.

        `used` is the number of leading cache columns that were written; no others are moved. The
        step computes `rows` rows: those after the slots are what was there before.
        """
        queries = self.cache.queries
        written = replace(
            self.cache,
            own=self.cache.own[..., :used, :],
            queries=None if queries is None else queries[:, :, :used],
        )
        if moved := [(slot, row) for row, slot in enumerate(slots) if slot != row]:
            source, target = to_device(
                torch.tensor([*zip(*moved, strict=True)]), self.text.mask.device
            )
            for tensor in (*tensors(written), *tensors(self.text), *tensors(self.drawing)):
                tensor.index_copy_(0, target, tensor.index_select(0, source))
        return self.narrowed(rows)

    def narrowed(self, rows: int) -> TokenStep:
        """Return the step of the first `rows` rows."""
        return replace(
            self,
            cache=narrowed(self.cache, rows),
            text=narrowed(self.text, rows),
            drawing=self.drawing and narrowed(self.drawing, rows),
        )


def kept_slots(ended: Sequence[int]) -> list[int]:
    """Return the slots of the rows that have not ended, in an order that moves as few as possible.

    The last of them take the places of those that have ended.
    """
    left = [slot for slot, has_ended in enumerate(ended) if not has_ended]
    last = iter([slot for slot in left if slot >= len(left)])
    return [next(last) if ended[slot] else slot for slot in range(len(left))]


@lru_cache(maxsize=_KNOWN_PLACES)
def _place(_: Hashable) -> int:
    """Return the number of these addresses and shapes: no others ever get it."""
    return next(_numbers)


def narrowed(rows: _Rows, count: int) -> _Rows:
    """Return views of the first `count` rows."""
    values = [(field.name, getattr(rows, field.name)) for field in fields(rows)]
    return replace(rows, **{name: value[:count] for name, value in values if value is not None})


def tensors(rows: DecoderCache | Text | Drawing | None) -> list[Tensor]:
    """Return the tensors, without absent ones."""
    values = [getattr(rows, field.name) for field in fields(rows)] if rows else []
    return [value for value in values if value is not None]
