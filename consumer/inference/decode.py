"""Decode a batch of rows token by token, each row with its own prompt, length and end.

Prompts are padded on the left, so that all rows write the same cache column at every step, and the
text of every row starts at the same column. End flags are read every few steps, and rows that have
ended leave the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from consumer.inference.alignment import Spans, starts_s
from consumer.inference.device import to_device
from consumer.inference.graph_capture import StepExecutor, executor_for
from consumer.inference.model import Decoder, DecoderCache
from consumer.inference.sampling import probability
from consumer.inference.token_step import (
    DecodeRow,
    Drawing,
    Text,
    TokenStep,
    kept_slots,
    narrowed,
)
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.workspace import Workspace

# Attended cache columns are a multiple of this, which bounds the shapes: each costs GPU graphs.
_COLUMN_BUCKET = {"cpu": 32, "cuda": 64}
POLL_STEPS = {"cpu": 1, "cuda": 8}  # steps between two reads of the end flags


@dataclass(frozen=True, slots=True, eq=False)
class DecodedRow:
    """The decoded text of one row."""

    tokens: tuple[int, ...]  # text tokens, without the end token
    logprobs: tuple[float, ...]  # of each token, and of the end token if there is one
    ended: bool  # by the end token; False: by the token limit
    no_speech_prob: float
    starts_s: Sequence[float] | None  # of each token and of the end; None: no word times


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

    def rows(self, count: int) -> int:
        """Return the rows of a cache for `count` rows: a step may compute unused ones."""
        return self._steps.rows(count)

    def reserve(self, rows: int, columns: int) -> None:
        """Allocate the buffers of any batch of up to `rows` rows, so that they never grow.

        A buffer that grows has another address, under which no recorded step finds it.
        """
        limit = self._vocabulary.sample_limit
        Text.begun(self._workspace, rows, columns, limit)
        Drawing.reserved(self._workspace, rows, limit)

    def identify(self, cache: DecoderCache, rows: int) -> Tensor:
        """Return the probability of every language for the first `rows` rows, [rows, languages].

        It overwrites the first text column of the cache, which is unused before a decode.
        """
        cache, device = narrowed(cache, rows), cache.bias.device
        first = torch.zeros(1, dtype=torch.long, device=device)
        token = torch.full((rows, 1), self._vocabulary.start, device=device)
        mask = cache.bias.new_zeros(rows, 1, 1, 1)
        states = self._decoder(token, torch.zeros_like(token), first, mask, cache)
        return self._decoder.logits_of(states[:, 0], self._languages).softmax(-1)

    def decode(self, cache: DecoderCache, requests: Sequence[DecodeRow]) -> list[DecodedRow]:
        """Return the texts of all requests, in order. The contents of the cache are overwritten.

        The cache has a row for each request first; those after them are computed and not used.
        """
        run = _BatchRun(self._vocabulary, requests, self._first_step(cache, requests))
        run.read_prompts(self._at_first)
        return run.finish(self._steps)

    def _first_step(self, cache: DecoderCache, requests: Sequence[DecodeRow]) -> TokenStep:
        buffer, limit = self._workspace.buffer, self._vocabulary.sample_limit
        rows = len(cache.bias)
        return TokenStep(
            decoder=self._decoder,
            cache=cache,
            text=Text.begun(self._workspace, rows, cache.own.shape[-2], limit),
            drawing=Drawing.begun(self._workspace, requests, rows, limit),
            column=buffer("column", 1, dtype=torch.long).fill_(_begin(requests)),
            count=buffer("count", 1, dtype=torch.long).zero_(),
            mask=self._always,
            end=self._vocabulary.end,
        )


class _BatchRun:
    """One batch, from its prompts to the end of its last row."""

    def __init__(
        self, vocabulary: Vocabulary, requests: Sequence[DecodeRow], step: TokenStep
    ) -> None:
        self._vocabulary = vocabulary
        self._requests = requests
        self._step = step
        self._slots = list(range(len(requests)))  # index of the request in each row of the batch
        self._decoded: dict[int, DecodedRow] = {}
        self._begin = _begin(requests)
        self._device = step.text.mask.device.type
        self._count = 0  # tokens of every row so far

    def read_prompts(self, at_first: Tensor) -> None:
        """Run all prompts through the decoder and choose the first token of each text."""
        step = self._step.narrowed(len(self._requests))
        text, device = step.text, step.text.mask.device
        padding = [self._begin - len(request.prompt) for request in self._requests]
        prompts = [[0] * n + [*r.prompt] for n, r in zip(padding, self._requests, strict=True)]
        columns = torch.arange(self._begin, device=device)
        unused = to_device(torch.tensor(padding), device)[:, None]
        text.mask[:, 0, 0, : self._begin].masked_fill_(columns >= unused, 0)
        mask = prompt_mask(unused, columns).to(text.mask.dtype)
        positions = (columns - unused).clamp_(min=0)
        tokens = to_device(torch.tensor(prompts), device)
        text.position.copy_(self._begin - unused)
        states = step.decoder(tokens, positions, columns, mask, step.cache)
        started = step.decoder.logits(states[:, -self._vocabulary.start_length])
        text.no_speech.copy_(probability(started, self._vocabulary.no_speech))
        step.append(states[:, -1], at_first)
        self._count += 1

    def finish(self, steps: StepExecutor) -> list[DecodedRow]:
        """Run steps until every row has ended; read the end flags every few of them."""
        limit, poll_steps = self._vocabulary.sample_limit, POLL_STEPS[self._device]
        while self._slots and self._count < limit:
            if self._count % poll_steps == 0:
                self._retire(self._step.text.ended[: len(self._slots)].tolist(), steps)
            if self._slots:
                self._advance(steps)
        self._retire([1] * len(self._slots), steps)
        return [self._decoded[index] for index in range(len(self._requests))]

    def _advance(self, steps: StepExecutor) -> None:
        """Append one token to every row."""
        bucket = _COLUMN_BUCKET[self._device]
        used = -(-(self._begin + self._count) // bucket) * bucket
        width = min(used, self._step.text.mask.shape[-1])
        if width != self._step.width:
            self._step = replace(self._step, width=width)
        steps.run(self._step)
        self._count += 1

    def _retire(self, ended: Sequence[int], steps: StepExecutor) -> None:
        """Remove the rows that have ended, once they are a quarter of the batch."""
        done = [slot for slot, has_ended in enumerate(ended) if has_ended]
        if not done or 4 * len(done) < len(ended):
            return
        for slot, row in zip(done, self._results(done), strict=True):
            self._decoded[self._slots[slot]] = row
        kept = kept_slots(ended)
        if kept:
            self._step = self._step.kept(kept, self._begin + self._count, steps.rows(len(kept)))
        self._slots = [self._slots[slot] for slot in kept]

    def _results(self, slots: Sequence[int]) -> Iterator[DecodedRow]:
        """Yield the rows at `slots`, by one copy of their texts to the host and one of times."""
        text, count, end = self._step.text, self._count, self._vocabulary.end
        # As fp64, in which tokens and probabilities are exact.
        parts = text.tokens[:, :count], text.scores[:, : 1 + count]
        packed = torch.cat([part.double() for part in parts], 1).cpu().numpy()[slots]
        tokens, scores = packed[:, :count].astype(np.int64).tolist(), packed[:, count:].tolist()
        lengths = [row.index(end) if end in row else count for row in tokens]
        starts = self._starts_s(slots, lengths)
        for ids, (no_speech, *logprobs), length, times in zip(
            tokens, scores, lengths, starts, strict=True
        ):
            yield DecodedRow(
                tokens=tuple(ids[:length]),
                logprobs=tuple(logprobs[: length + 1]),
                ended=length < count,
                no_speech_prob=no_speech,
                starts_s=times,
            )

    def _starts_s(
        self, slots: Sequence[int], lengths: Sequence[int]
    ) -> list[Sequence[float] | None]:
        """Return when the tokens of each row begin; None: no word times were requested."""
        aligned = [self._requests[self._slots[slot]].align or 0 for slot in slots]
        starts: list[Sequence[float] | None] = [None] * len(slots)
        wanted = [at for at, positions in enumerate(aligned) if positions]
        if self._step.cache.queries is None or not wanted:
            return starts
        spans = Spans(
            rows=[slots[at] for at in wanted],
            first=self._begin - self._vocabulary.start_length,
            before=self._vocabulary.start_length,
            tokens=[lengths[at] for at in wanted],
            positions=[aligned[at] for at in wanted],
        )
        found = starts_s(self._step.cache, self._step.decoder.alignment_heads, spans)
        for at, times in zip(wanted, found, strict=True):
            starts[at] = times
        return starts


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
