"""Decode a batch of rows token by token, each row with its own prompt, length and end.

Prompts are padded on the left, so that all rows write the same cache column at every step, and the
text of every row starts at the same column. A step works in place on reused buffers, has no shape
that depends on a value and never synchronises with the host, so a device can replay it. End flags
are read every few steps, and rows that have ended leave the batch.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

import torch
from torch import Tensor

from consumer.core.audio.utterance import Float32Array
from consumer.inference.device import to_device
from consumer.inference.graph_capture import StepExecutor, executor_for
from consumer.inference.model import Decoder, DecoderCache
from consumer.inference.sampling import choose, probability, uniforms
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.words import alignment
from consumer.inference.workspace import Workspace

_COLUMN_BUCKET = 32  # attended cache columns are a multiple of this, which bounds the shapes
_POLL_STEPS = {"cpu": 1, "cuda": 8}  # steps between two reads of the end flags


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRow:
    """The decode that one row requests."""

    prompt: Sequence[int]  # tokens before the text
    seed: int  # of the row's own random numbers
    temperature: float = 0.0  # 0: greedy; above 0: tokens are drawn
    align: int | None = None  # leading audio positions of the speech; None: no word times


@dataclass(frozen=True, slots=True, eq=False)
class DecodedRow:
    """The decoded text of one row."""

    tokens: tuple[int, ...]  # text tokens, without the end token
    logprobs: tuple[float, ...]  # of each token, and of the end token if there is one
    ended: bool  # by the end token; False: by the token limit
    no_speech_prob: float
    alignment: Float32Array | None  # [tokens + 1, align] of `words.alignment`


@dataclass(frozen=True, slots=True, eq=False)
class _Text:
    """The growing texts of all rows; tensors on the device, rows first."""

    mask: Tensor  # [B, 1, 1, C] 0 where a row may attend to a column, else -inf
    token: Tensor  # [B, 1] the newest
    position: Tensor  # [B, 1] of that token, counted from the row's own first token
    tokens: Tensor  # [B, limit]
    logprobs: Tensor  # [B, limit] fp32
    temperature: Tensor  # [B, 1] fp32
    uniform: Tensor  # [B, limit] random numbers in (0, 1], fp32
    ended: Tensor  # [B] bool
    no_speech: Tensor  # [B] probability, fp32

    @classmethod
    def begun(
        cls, workspace: Workspace, requests: Sequence[DecodeRow], columns: int, limit: int
    ) -> Self:
        """Return texts without tokens, positioned after the prompts."""
        rows, buffer = len(requests), workspace.buffer
        positions = torch.tensor([[len(request.prompt)] for request in requests])
        temperatures = torch.tensor([[request.temperature] for request in requests])
        drawn = torch.stack([uniforms(request.seed, limit) for request in requests])
        device = workspace.device
        return cls(
            mask=buffer("mask", rows, 1, 1, columns).fill_(-torch.inf),
            token=buffer("token", rows, 1, dtype=torch.long),
            position=buffer("position", rows, 1, dtype=torch.long).copy_(
                to_device(positions, device)
            ),
            tokens=buffer("tokens", rows, limit, dtype=torch.long),
            logprobs=buffer("logprobs", rows, limit, dtype=torch.float),
            temperature=buffer("temperature", rows, 1, dtype=torch.float).copy_(
                to_device(temperatures, device)
            ),
            uniform=buffer("uniform", rows, limit, dtype=torch.float).copy_(
                to_device(drawn, device)
            ),
            ended=buffer("ended", rows, dtype=torch.bool).fill_(False),
            no_speech=buffer("no_speech", rows, dtype=torch.float),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _TokenStep:
    """Appends one token to every row, in place. All steps of a bucket run the same operations."""

    decoder: Decoder
    cache: DecoderCache
    text: _Text
    column: Tensor  # [1] the cache column to write next
    count: Tensor  # [1] tokens of every row so far
    mask: Tensor  # [V] added to the logits
    end: int  # the end token
    draws: bool  # whether any row's temperature is above 0
    width: int = 0  # leading cache columns that are attended to

    @property
    def bucket(self) -> Hashable:
        buffers = (*_tensors(self.cache).values(), *_tensors(self.text).values())
        places = tuple((each.data_ptr(), each.shape) for each in buffers)
        return self.width, self.draws, places

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
        text = self.text
        logits = self.decoder.logits(states).add_(mask)
        uniform = text.uniform.index_select(1, self.count)
        token, logprob = choose(logits, text.temperature if self.draws else None, uniform)
        text.token.copy_(token)
        text.tokens.index_copy_(1, self.count, token)
        text.logprobs.index_copy_(1, self.count, logprob)
        text.ended.logical_or_(token[:, 0] == self.end)
        self.count.add_(1)


_Rows = TypeVar("_Rows", DecoderCache, _Text)


class BatchDecoder:
    """Decodes batches with one decoder. Not safe for concurrent use."""

    def __init__(
        self,
        decoder: Decoder,
        vocabulary: Vocabulary,
        workspace: Workspace,
        steps: StepExecutor | None = None,
    ) -> None:
        device = workspace.device
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._workspace = workspace
        self._steps = steps or executor_for(device)
        self._always, self._at_first = vocabulary.masks(device)
        self._languages = torch.tensor(
            [*vocabulary.language_tokens.values()], dtype=torch.long, device=device
        )

    def identify(self, cache: DecoderCache) -> Tensor:
        """Return the probability of every language of the vocabulary, [B, languages].

        It overwrites the first text column of the cache, which is unused before a decode.
        """
        device, rows = cache.bias.device, len(cache.bias)
        first = torch.zeros(1, dtype=torch.long, device=device)
        token = torch.full((rows, 1), self._vocabulary.start, device=device)
        mask = cache.bias.new_zeros(rows, 1, 1, 1)
        states = self._decoder(token, torch.zeros_like(token), first, mask, cache)
        return self._decoder.logits_of(states[:, 0], self._languages).softmax(-1)

    def decode(self, cache: DecoderCache, requests: Sequence[DecodeRow]) -> list[DecodedRow]:
        """Return the texts of all rows, in order. The contents of the cache are overwritten."""
        run = _BatchRun(self._vocabulary, requests, self._first_step(cache, requests))
        run.read_prompts(self._at_first)
        return run.finish(self._steps, _POLL_STEPS[self._workspace.device.type])

    def _first_step(self, cache: DecoderCache, requests: Sequence[DecodeRow]) -> _TokenStep:
        buffer, limit = self._workspace.buffer, self._vocabulary.sample_limit
        return _TokenStep(
            decoder=self._decoder,
            cache=cache,
            text=_Text.begun(self._workspace, requests, cache.own.shape[-2], limit),
            column=buffer("column", 1, dtype=torch.long).fill_(_begin(requests)),
            count=buffer("count", 1, dtype=torch.long).zero_(),
            mask=self._always,
            end=self._vocabulary.end,
            draws=any(request.temperature > 0 for request in requests),
        )


class _BatchRun:
    """One batch, from its prompts to the end of its last row."""

    def __init__(
        self, vocabulary: Vocabulary, requests: Sequence[DecodeRow], step: _TokenStep
    ) -> None:
        self._vocabulary = vocabulary
        self._requests = requests
        self._step = step
        self._slots = list(range(len(requests)))  # index of the request in each row of the batch
        self._decoded: dict[int, DecodedRow] = {}
        self._begin = _begin(requests)
        self._count = 0  # tokens of every row so far

    def read_prompts(self, at_first: Tensor) -> None:
        """Run all prompts through the decoder and choose the first token of each text."""
        step, text = self._step, self._step.text
        device = text.mask.device
        padding = [self._begin - len(request.prompt) for request in self._requests]
        prompts = [[0] * n + [*r.prompt] for n, r in zip(padding, self._requests, strict=True)]
        columns = torch.arange(self._begin, device=device)
        unused = to_device(torch.tensor(padding), device)[:, None]
        text.mask[:, 0, 0, : self._begin].masked_fill_(columns >= unused, 0)
        mask = prompt_mask(unused, columns).to(text.mask.dtype)
        positions = (columns - unused).clamp_(min=0)
        tokens = to_device(torch.tensor(prompts), device)
        states = step.decoder(tokens, positions, columns, mask, step.cache)
        started = step.decoder.logits(states[:, -self._vocabulary.start_length])
        text.no_speech.copy_(probability(started, self._vocabulary.no_speech))
        step.append(states[:, -1], at_first)
        self._count += 1

    def finish(self, steps: StepExecutor, poll_steps: int) -> list[DecodedRow]:
        """Run steps until every row has ended; read the end flags every `poll_steps` of them."""
        limit = self._vocabulary.sample_limit
        while self._slots and self._count < limit:
            if self._count % poll_steps == 0:
                self._retire(self._step.text.ended.tolist())
            if self._slots:
                self._advance(steps)
        self._retire([True] * len(self._slots))
        return [self._decoded[index] for index in range(len(self._requests))]

    def _advance(self, steps: StepExecutor) -> None:
        """Append one token to every row."""
        used = -(-(self._begin + self._count) // _COLUMN_BUCKET) * _COLUMN_BUCKET
        width = min(used, self._step.text.mask.shape[-1])
        if width != self._step.width:
            self._step = replace(self._step, width=width)
        steps.run(self._step)
        self._count += 1

    def _retire(self, ended: list[bool]) -> None:
        """Remove the rows that have ended, once they are a quarter of the batch."""
        if 4 * sum(ended) < len(ended):
            return
        cache, text = self._step.cache, self._step.text
        for slot in reversed(range(len(ended))):
            if ended[slot]:
                self._decoded[self._slots[slot]] = self._result(slot)
                self._slots[slot] = self._slots[-1]
                self._slots.pop()
                _move(cache, source=len(self._slots), target=slot)
                _move(text, source=len(self._slots), target=slot)
        rows = len(self._slots)
        self._step = replace(self._step, cache=_narrowed(cache, rows), text=_narrowed(text, rows))

    def _result(self, slot: int) -> DecodedRow:
        text = self._step.text
        tokens = text.tokens[slot, : self._count].tolist()
        ended = self._vocabulary.end in tokens
        length = tokens.index(self._vocabulary.end) if ended else len(tokens)
        return DecodedRow(
            tokens=tuple(tokens[:length]),
            logprobs=tuple(text.logprobs[slot, : length + ended].tolist()),
            ended=ended,
            no_speech_prob=float(text.no_speech[slot]),
            alignment=self._alignment(slot, length),
        )

    def _alignment(self, slot: int, length: int) -> Float32Array | None:
        align = self._requests[self._slots[slot]].align
        cache = self._step.cache
        if align is None or cache.queries is None:
            return None
        start = self._begin - self._vocabulary.start_length
        keys = self._step.decoder.alignment_keys(cache, slot)[:, :align]
        queries = cache.queries[slot, :, start : self._begin + length]
        return alignment(queries, keys)[self._vocabulary.start_length - 1 :].cpu().numpy()


def _begin(requests: Sequence[DecodeRow]) -> int:
    """Return the cache column of every row's first text token."""
    return max(len(request.prompt) for request in requests)


def prompt_mask(unused: Tensor, columns: Tensor) -> Tensor:
    """Return the scores [B, 1, S, S] to add in the prompts' self-attention.

    The mask is causal and excludes the leading `unused` [B, 1] columns of each row. Those attend to
    themselves, because a softmax over no column is NaN.
    """
    query, key = columns[:, None], columns[None, :]
    visible = (key <= query) & (key >= unused[:, :, None]) | (key == query)
    scores = torch.zeros_like(visible, dtype=torch.float)
    return scores.masked_fill_(~visible, -torch.inf)[:, None]


def _move(rows: DecoderCache | _Text, source: int, target: int) -> None:
    """Copy one row over another."""
    if source == target:
        return
    for tensor in _tensors(rows).values():
        tensor[target].copy_(tensor[source])


def _narrowed(rows: _Rows, count: int) -> _Rows:
    """Return views of the first `count` rows."""
    return replace(rows, **{name: tensor[:count] for name, tensor in _tensors(rows).items()})


def _tensors(rows: DecoderCache | _Text) -> dict[str, Tensor]:
    """Return the tensors by field, without absent ones."""
    values = {field.name: getattr(rows, field.name) for field in fields(rows)}
    return {name: value for name, value in values.items() if value is not None}
