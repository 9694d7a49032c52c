"""One greedy decode of a batch of rows, each with its own prompt, length and end.

Prompts are padded on the left, so that all rows write the same cache column at every step, and the
start of every row's text is the same column. A step has no shape that depends on a value and
waits for nothing: end flags are read every few steps, and rows that have ended leave the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from consumer.core.values import Float32Array
from consumer.inference.model import Decoder, Memory
from consumer.inference.sampling import choose, uniforms
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.words import alignment

_COLUMN_BUCKET = 32  # attended cache columns are rounded up to this: few shapes
_POLL_STEPS = {"cpu": 1, "cuda": 8}  # steps between two looks at the end flags


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """How one row is to be decoded."""

    prompt: Sequence[int]  # tokens before the text
    seed: int  # of the row's own random numbers
    temperature: float = 0.0  # above 0 tokens are drawn
    align: int | None = None  # leading audio positions that words can be in; None: no word times


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What the model wrote for one row."""

    tokens: tuple[int, ...]  # text tokens, without the end
    logprobs: tuple[float, ...]  # of each token, and of the end if there is one
    ended: bool  # the model ended the text; else the token limit did
    no_speech_prob: float
    alignment: Float32Array | None  # [tokens + 1, align] of `words.alignment`


@dataclass(slots=True)
class _Text:
    """Every row's text as it grows; tensors on the device, rows first."""

    mask: Tensor  # [B, 1, 1, C] 0 where a row's column may be attended, else -inf
    token: Tensor  # [B, 1] the newest
    position: Tensor  # [B, 1] of that token in its row's own text
    tokens: Tensor  # [B, limit]
    logprobs: Tensor  # [B, limit] fp32
    temperature: Tensor  # [B, 1]
    uniform: Tensor  # [B, limit] random numbers in (0, 1]
    ended: Tensor  # [B] bool
    no_speech: Tensor  # [B] probability


class BatchDecoder:
    """Decodes batches with one decoder; not for two threads at once."""

    def __init__(self, decoder: Decoder, vocabulary: Vocabulary, device: torch.device) -> None:
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._device = device
        self._masks = vocabulary.masks(device)
        self._languages = torch.tensor(
            [*vocabulary.language_tokens.values()], dtype=torch.long, device=device
        )

    def identify(self, memory: Memory) -> Tensor:
        """Probability of every language of the vocabulary for every row, [B, languages].

        The first text column is used, and free again afterwards.
        """
        first = torch.zeros(1, dtype=torch.long, device=self._device)
        rows = len(memory.cross)
        token = torch.full((rows, 1), self._vocabulary.start, device=self._device)
        mask = memory.bias.new_zeros(rows, 1, 1, 1)
        states = self._decoder(token, torch.zeros_like(token), first, mask, memory)
        return self._decoder.logits_of(states[:, 0], self._languages).softmax(-1)

    def decode(self, memory: Memory, requests: Sequence[Request]) -> list[Decoded]:
        """The texts of all rows, in their order; `memory` is used up."""
        run = _Run(self._decoder, self._vocabulary, self._masks, memory, requests)
        return run.finish(_POLL_STEPS[self._device.type])


class _Run:
    """One batch, from its prompts to its last end."""

    def __init__(
        self,
        decoder: Decoder,
        vocabulary: Vocabulary,
        masks: tuple[Tensor, Tensor],
        memory: Memory,
        requests: Sequence[Request],
    ) -> None:
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._always, at_first = masks
        self._memory = memory
        self._requests = requests
        self._draws = any(request.temperature > 0 for request in requests)
        self._slots = list(range(len(requests)))  # which request each row of the batch serves
        self._decoded: dict[int, Decoded] = {}
        self._begin = max(len(request.prompt) for request in requests)  # column of the first token
        self._text = self._empty_text()
        self._column = torch.tensor([self._begin], device=memory.bias.device)
        self._step = torch.zeros_like(self._column)
        self._steps = 0  # the same on this side
        self._read_prompts(at_first)

    def finish(self, poll_steps: int) -> list[Decoded]:
        limit = self._text.tokens.shape[1]
        while self._slots and self._steps < limit:
            if self._steps % poll_steps == 0:
                self._retire(self._text.ended.tolist())
            if self._slots:
                self._advance()
        self._retire([True] * len(self._slots))
        return [self._decoded[index] for index in range(len(self._requests))]

    def _empty_text(self) -> _Text:
        rows, limit = len(self._requests), self._vocabulary.sample_limit
        like = self._memory.bias
        integers = torch.zeros(rows, limit, dtype=torch.long, device=like.device)
        numbers = integers.float()
        return _Text(
            mask=like.new_full((rows, 1, 1, self._memory.own.shape[-2]), -torch.inf),
            token=integers[:, :1].clone(),
            position=torch.tensor([[len(r.prompt)] for r in self._requests], device=like.device),
            tokens=integers,
            logprobs=numbers,
            temperature=torch.tensor([[r.temperature] for r in self._requests], device=like.device),
            uniform=torch.stack([uniforms(r.seed, limit) for r in self._requests]).to(like.device),
            ended=integers[:, 0].bool(),
            no_speech=numbers[:, 0].clone(),
        )

    def _read_prompts(self, at_first: Tensor) -> None:
        device = self._column.device
        padding = [self._begin - len(request.prompt) for request in self._requests]
        tokens = torch.tensor(
            [[0] * n + [*r.prompt] for n, r in zip(padding, self._requests, strict=True)],
            device=device,
        )
        columns = torch.arange(self._begin, device=device)
        unused = torch.tensor(padding, device=device)[:, None]
        self._text.mask[:, 0, 0, : self._begin].masked_fill_(columns >= unused, 0)
        mask = prompt_mask(unused, columns).to(self._memory.bias.dtype)
        positions = (columns - unused).clamp_(min=0)
        states = self._decoder(tokens, positions, columns, mask, self._memory)
        self._text.no_speech = self._no_speech(states[:, -self._vocabulary.start_length])
        self._append(states[:, -1], at_first)

    def _no_speech(self, states: Tensor) -> Tensor:
        """Probability of the no-speech token where the text starts, [B]."""
        probabilities = self._decoder.logits(states).softmax(-1)
        return probabilities[:, self._vocabulary.no_speech]

    def _advance(self) -> None:
        """One token for every row."""
        text = self._text
        text.mask.index_fill_(3, self._column, 0)
        used = self._begin + self._steps
        width = min(-(-used // _COLUMN_BUCKET) * _COLUMN_BUCKET, text.mask.shape[-1])
        states = self._decoder(
            text.token, text.position, self._column, text.mask[..., :width], self._memory
        )
        self._column += 1
        text.position += 1
        self._append(states[:, -1], self._always)

    def _append(self, states: Tensor, mask: Tensor) -> None:
        text = self._text
        logits = self._decoder.logits(states).add_(mask)
        uniform = text.uniform.index_select(1, self._step)
        temperature = text.temperature if self._draws else None
        text.token, logprob = choose(logits, temperature, uniform)
        text.tokens.index_copy_(1, self._step, text.token)
        text.logprobs.index_copy_(1, self._step, logprob)
        text.ended |= text.token[:, 0] == self._vocabulary.end
        self._step += 1
        self._steps += 1

    def _retire(self, ended: list[bool]) -> None:
        """Rows that have ended leave, once they are a quarter of the batch."""
        if 4 * sum(ended) < len(ended):
            return
        for slot in reversed(range(len(ended))):
            if ended[slot]:
                self._decoded[self._slots[slot]] = self._result(slot)
                self._slots[slot] = self._slots[-1]
                self._slots.pop()
                _move(self._memory, source=len(self._slots), target=slot)
                _move(self._text, source=len(self._slots), target=slot)
        _narrow(self._memory, len(self._slots))
        _narrow(self._text, len(self._slots))

    def _result(self, slot: int) -> Decoded:
        tokens = self._text.tokens[slot, : self._steps].tolist()
        ended = self._vocabulary.end in tokens
        length = tokens.index(self._vocabulary.end) if ended else len(tokens)
        return Decoded(
            tokens=tuple(tokens[:length]),
            logprobs=tuple(self._text.logprobs[slot, : length + ended].tolist()),
            ended=ended,
            no_speech_prob=float(self._text.no_speech[slot]),
            alignment=self._alignment(slot, length),
        )

    def _alignment(self, slot: int, length: int) -> Float32Array | None:
        align = self._requests[self._slots[slot]].align
        if align is None or self._memory.queries is None:
            return None
        start = self._begin - self._vocabulary.start_length
        keys = self._decoder.alignment_keys(self._memory, slot)[:, :align]
        queries = self._memory.queries[slot, :, start : self._begin + length]
        return alignment(queries, keys)[self._vocabulary.start_length - 1 :].cpu().numpy()


def prompt_mask(unused: Tensor, columns: Tensor) -> Tensor:
    """Scores [B, 1, S, S] added in the prompts' self-attention; `unused` [B, 1] columns lead.

    Causal, and blind to unused columns; those see themselves, as a softmax over nothing is NaN.
    """
    query, key = columns[:, None], columns[None, :]
    seen = (key <= query) & (key >= unused[:, :, None]) | (key == query)
    return torch.zeros(seen.shape).to(seen.device).masked_fill_(~seen, -torch.inf)[:, None]


def _move(rows: Memory | _Text, source: int, target: int) -> None:
    """Put one row in another's place."""
    if source == target:
        return
    for tensor in _tensors(rows).values():
        tensor[target].copy_(tensor[source])


def _narrow(rows: Memory | _Text, count: int) -> None:
    """Keep the first `count` rows."""
    for name, tensor in _tensors(rows).items():
        setattr(rows, name, tensor[:count])


def _tensors(rows: Memory | _Text) -> dict[str, Tensor]:
    values = {field.name: getattr(rows, field.name) for field in fields(rows)}
    return {name: value for name, value in values.items() if value is not None}
