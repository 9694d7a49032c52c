"""Clips in, hypotheses out: Whisper with the folded encoder, for batches of unlike clips."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from whisper.utils import compression_ratio

from consumer.core.values import Clip, Hypothesis, TimedWord
from consumer.inference import fold as folding
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.decode import BatchDecoder, Decoded, Request
from consumer.inference.device import Device, device_errors
from consumer.inference.fallback import Attempt, ladder, needs_another
from consumer.inference.layers import Parameters
from consumer.inference.mel import LogMel
from consumer.inference.model import Decoder, Encoder, Memory
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.words import timed_words
from consumer.inference.workspace import Workspace
from schemas.transcript import Model


@dataclass(frozen=True, slots=True)
class _Language:
    """What a clip is decoded as."""

    code: str
    probability: float | None  # None: given


@dataclass(slots=True, eq=False)
class _Row:
    """One clip on its way."""

    clip: Clip
    language: _Language | None = None  # None: not yet known
    hypothesis: Hypothesis | None = None  # the latest attempt's

    @property
    def result(self) -> Hypothesis:
        assert self.hypothesis is not None, "no attempt was made"
        return self.hypothesis


class WhisperTranscriber:
    """A Whisper checkpoint on one device; for one thread.

    At most `max_rows` clips go through the model together, the shortest first: that bounds memory.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: Device, *, fold: bool, max_rows: int = 16
    ) -> None:
        dims = checkpoint.dims
        parameters = Parameters(checkpoint.state, device.device, device.dtype)
        self.info = Model(
            checkpoint.name, checkpoint.sha256, str(device.dtype).removeprefix("torch."), fold
        )
        self._dims = dims
        self._device = device.device
        self._fold = fold
        self._max_rows = max_rows
        self._vocabulary = Vocabulary(dims.n_vocab, dims.n_text_ctx)
        self._mel = LogMel(dims.n_mels, device.device)
        self._encoder = Encoder(parameters, dims)
        self._decoder = Decoder(parameters, dims, checkpoint.alignment_heads)
        self._batch_decoder = BatchDecoder(self._decoder, self._vocabulary, device.device)
        self._workspace = Workspace(device.device, device.dtype)

    @property
    def languages(self) -> frozenset[str]:
        """Whisper codes that clips may name; of an English-only checkpoint "en" alone."""
        return frozenset(self._vocabulary.language_tokens) or frozenset({"en"})

    @torch.inference_mode()
    def transcribe(self, clips: Sequence[Clip]) -> list[Hypothesis]:
        """One hypothesis a clip, in their order; clips that look wrong are decoded again.

        Clips last above 0 to 30 s and may differ in everything. An English-only checkpoint takes
        every clip as English. Raises ValueError for another length or an unknown language,
        OutOfMemory and DeviceLost as `device_errors` tells them.
        """
        for clip in clips:
            self._check(clip)
        rows = [_Row(clip) for clip in clips]
        waiting = sorted(rows, key=lambda row: len(row.clip.samples))
        with device_errors():
            for attempt in ladder(fold=self._fold):
                batches = _batches(waiting, self._max_rows)
                waiting = [row for batch in batches for row in self._attempt(batch, attempt)]
        return [row.result for row in rows]

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Run everything once, word times and their compiled warping included."""
        silence = np.zeros(folding.MAX_SAMPLES // 30, np.float32)
        with device_errors():
            self._attempt([_Row(Clip(silence, words=True))], ladder(fold=self._fold)[0])

    def _check(self, clip: Clip) -> None:
        if not 0 < len(clip.samples) <= folding.MAX_SAMPLES:
            raise ValueError(f"A clip of {len(clip.samples)} samples: 1 to 480000 are possible.")
        if self._vocabulary.multilingual and not self.languages.issuperset(clip.languages):
            unknown = ", ".join(sorted({*clip.languages} - self.languages))
            raise ValueError(f"{self.info.name} knows no language called {unknown}.")

    def _attempt(self, rows: Sequence[_Row], attempt: Attempt) -> list[_Row]:
        """Decode rows in one way; those that need another."""
        memory = self._listen(rows, folded=attempt.folded)
        languages = self._languages(rows, memory)
        requests = [
            self._request(row.clip, language) for row, language in zip(rows, languages, strict=True)
        ]
        decoded = self._batch_decoder.decode(memory, requests, attempt.temperature)
        for row, language, result in zip(rows, languages, decoded, strict=True):
            row.language = language
            row.hypothesis = self._hypothesis(language, result, attempt)
        return [
            row
            for row, result in zip(rows, decoded, strict=True)
            if needs_another(row.result, ended=result.ended)
        ]

    def _listen(self, rows: Sequence[_Row], *, folded: bool) -> Memory:
        """Encode clips, and lay their features out for the decoder."""
        clips = [row.clip.samples for row in rows]
        fold = folding.folded if folded else folding.padded
        batch = folding.stack([fold(len(clip)) for clip in clips])
        bias = self._tensor(batch.bias)[:, None, None].to(self._workspace.dtype)
        features = self._encoder(
            self._mel(clips, batch.stem),
            self._tensor(batch.source),
            self._tensor(batch.positions),
            bias,
        )
        memory = self._memory(bias, words=any(row.clip.words for row in rows))
        self._decoder.read_audio(features, memory.cross)
        return memory

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _memory(self, bias: Tensor, *, words: bool) -> Memory:
        dims = self._dims
        rows, head = len(bias), dims.n_text_state // dims.n_text_head
        heads = (rows, dims.n_text_layer, 2, dims.n_text_head)
        aligned = len(self._decoder.alignment_heads)
        take = self._workspace.take
        return Memory(
            own=take("own", *heads, dims.n_text_ctx, head),
            cross=take("cross", *heads, bias.shape[-1], head),
            bias=bias,
            queries=take("queries", rows, aligned, dims.n_text_ctx, head) if words else None,
        )

    def _languages(self, rows: Sequence[_Row], memory: Memory) -> list[_Language]:
        known = [row.language or self._given(row.clip) for row in rows]
        if None not in known:
            return [language for language in known if language is not None]
        heard = self._batch_decoder.identify(memory).tolist()
        return [
            language or self._likeliest(row.clip, probabilities)
            for row, language, probabilities in zip(rows, known, heard, strict=True)
        ]

    def _given(self, clip: Clip) -> _Language | None:
        if not self._vocabulary.multilingual:
            return _Language("en", None)
        return _Language(clip.languages[0], None) if len(clip.languages) == 1 else None

    def _likeliest(self, clip: Clip, probabilities: Sequence[float]) -> _Language:
        """The likeliest of those allowed, with its probability among all."""
        heard = dict(zip(self._vocabulary.language_tokens, probabilities, strict=True))
        code = max(clip.languages or heard, key=heard.__getitem__)
        return _Language(code, heard[code])

    def _request(self, clip: Clip, language: _Language) -> Request:
        inside = max(1, len(clip.samples) // folding.POSITION_SAMPLES)
        return Request(
            prompt=self._vocabulary.prompt(clip, language.code),
            seed=zlib.crc32(clip.samples.tobytes()),
            align=inside if clip.words else None,
        )

    def _hypothesis(self, language: _Language, decoded: Decoded, attempt: Attempt) -> Hypothesis:
        text = self._vocabulary.text(decoded.tokens)
        return Hypothesis(
            text=text,
            language=language.code,
            language_probability=language.probability,
            tokens=decoded.tokens,
            avg_logprob=sum(decoded.logprobs) / (len(decoded.tokens) + 1),
            no_speech_prob=decoded.no_speech_prob,
            compression_ratio=compression_ratio(text),
            temperature=attempt.temperature,
            folded=attempt.folded,
            words=self._words(language, decoded),
        )

    def _words(self, language: _Language, decoded: Decoded) -> tuple[TimedWord, ...] | None:
        if decoded.alignment is None:
            return None
        tokenizer = self._vocabulary.tokenizer(language.code)
        return timed_words(tokenizer, decoded.tokens, decoded.logprobs, decoded.alignment)


def _batches(rows: Sequence[_Row], size: int) -> Iterator[Sequence[_Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
