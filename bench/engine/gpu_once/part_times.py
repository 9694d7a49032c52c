"""The time of each part of a batch: on CUDA by events, on a processor by its clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Final

import torch

from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference.alignment import Spans, starts_s
from consumer.inference.attention_kernels import device_ms
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.clip_encoder import ClipEncoder
from consumer.inference.device import Device, DeviceStream
from consumer.inference.fold import folded, stack
from consumer.inference.graph_capture import CudaGraphs, executor_for
from consumer.inference.layers import Parameters
from consumer.inference.mel import LogMel
from consumer.inference.model import Decoder, DecoderCache, Encoder
from consumer.inference.token_step import Text, TokenStep
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.workspace import Workspace

_RUNS: Final = 5  # of which the median counts, after one that is not timed
_WIDTH: Final = 64  # attended text columns


@torch.inference_mode()
def measured(
    checkpoint: Checkpoint, device: Device, clips: Sequence[DecodeRequest], tokens: int
) -> dict[str, float | None]:
    """Return the milliseconds of each part of a batch; None: out of memory."""
    found: dict[str, float | None] = {}
    with DeviceStream(device.device)():
        try:
            for part, work in _BatchParts(checkpoint, device, clips, tokens).works():
                work()
                found[part] = median(_ms(device, work) for _ in range(_RUNS))
        except torch.OutOfMemoryError:
            found["out_of_memory"] = None
    return found


def _ms(device: Device, work: Callable[[], object]) -> float:
    if device.device.type == "cuda":
        return device_ms(work)
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


class _BatchParts:
    """The parts of a batch over one set of buffers."""

    def __init__(
        self, checkpoint: Checkpoint, device: Device, clips: Sequence[DecodeRequest], tokens: int
    ) -> None:
        self._dims, self._device = checkpoint.dims, device
        self._clips, self._tokens = clips, tokens
        self._parameters = Parameters(checkpoint.state, device.device, device.dtype)
        self._decoder = Decoder(self._parameters, self._dims, checkpoint.alignment_heads)
        self._workspace = Workspace(device.device, device.dtype)
        self._vocabulary = Vocabulary(self._dims.n_vocab, self._dims.n_text_ctx)

    def works(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield the name of each part and the call that computes it."""
        yield from self._encoder_works()
        cache = self._cache()
        step = self._step(cache)
        yield "prompt", lambda: self._read_prompt(cache)
        with _rewound(step):
            yield "step_eager", step
        if self._device.device.type == "cuda":
            replay = CudaGraphs()(step)
            with _rewound(step):
                yield "step_replayed", replay
        yield "alignment", lambda: starts_s(cache, self._decoder.alignment_heads, self._spans())

    def _encoder_works(self) -> Iterator[tuple[str, Callable[[], object]]]:
        device = self._device.device
        batch = stack([folded(len(clip.samples)) for clip in self._clips])
        samples = [clip.samples for clip in self._clips]
        mel = LogMel(self._dims.n_mels, device)
        yield "mel", lambda: mel(samples, batch.stem)
        frames, encoder = mel(samples, batch.stem), Encoder(self._parameters, self._dims)
        positions, source = torch.from_numpy(batch.indices).to(device).unbind()
        bias = torch.from_numpy(batch.bias).to(device, self._device.dtype)[:, None, None]
        yield "encoder", lambda: encoder(frames, source, positions, bias)
        features, out = encoder(frames, source, positions, bias), self._cache().cross
        length = features.shape[1]
        yield "cross", lambda: self._decoder.read_audio(features, out[..., :length, :])

    def _cache(self) -> DecoderCache:
        encoder = ClipEncoder(self._parameters, self._dims, self._decoder, folded, self._workspace)
        rows = executor_for(self._device.device).rows(len(self._clips))
        return encoder.encode(self._clips, fold=True, rows=rows)

    def _step(self, cache: DecoderCache) -> TokenStep:
        device, workspace = self._device.device, self._workspace
        limit, columns = self._vocabulary.sample_limit, self._dims.n_text_ctx
        text = Text.begun(workspace, len(cache.bias), columns, limit)
        text.mask[..., : self._vocabulary.start_length] = 0
        return TokenStep(
            decoder=self._decoder,
            cache=cache,
            text=text,
            drawing=None,
            column=torch.tensor([self._vocabulary.start_length], device=device),
            count=torch.tensor([0], device=device),
            mask=self._vocabulary.masks(device)[0],
            end=self._vocabulary.end,
            width=min(_WIDTH, columns),
        )

    def _read_prompt(self, cache: DecoderCache) -> torch.Tensor:
        device, length = self._device.device, self._vocabulary.start_length
        columns = torch.arange(length, device=device)
        tokens = torch.full((len(cache.bias), length), self._vocabulary.start, device=device)
        causal = torch.full((length, length), -torch.inf, device=device).triu_(1)
        mask = causal.to(self._device.dtype).expand(len(tokens), 1, length, length).contiguous()
        return self._decoder(tokens, columns.expand_as(tokens), columns, mask, cache)

    def _spans(self) -> Spans:
        rows, before = len(self._clips), self._vocabulary.start_length
        seconds = [len(clip.samples) // 320 for clip in self._clips]
        tokens = min(self._tokens, self._vocabulary.sample_limit - 1)
        return Spans([*range(rows)], 0, before, [tokens] * rows, seconds)


@contextmanager
def _rewound(step: TokenStep) -> Iterator[None]:
    """Put a step back to where it began: each call of it appends a token."""
    before = step.column.clone(), step.text.position.clone()
    yield
    step.column.copy_(before[0])
    step.text.position.copy_(before[1])
    step.count.zero_()
