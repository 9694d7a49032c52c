"""Transcribe batches of clips by Whisper with the folded encoder."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.scheduling.capacity import POSITION_SAMPLES, BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.streams.language import IdentifiedLanguage, identify
from consumer.core.text.fallback import (
    FallbackStep,
    fallback_steps,
    is_accepted,
    remaining,
    select,
)
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.patterns import compression_ratio
from consumer.errors import OutOfMemory
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.clip_encoder import ClipEncoder
from consumer.inference.decode import BatchDecoder, DecodedRow
from consumer.inference.device import Device, DeviceStream, device_errors
from consumer.inference.fold import MAX_SAMPLES, Folding, folded, kept_positions, runs
from consumer.inference.graph_capture import StepExecutor
from consumer.inference.layers import ByteLinear, Linear, Parameters, Product
from consumer.inference.mel import amplitudes
from consumer.inference.model import Decoder, DecoderCache
from consumer.inference.quantized import QuantizedLinear
from consumer.inference.token_step import DecodeRow
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.words import timed_words
from consumer.inference.workspace import Workspace
from schemas.transcript import Model


@dataclass(frozen=True, slots=True)
class _Language:
    """The language that a clip is decoded in."""

    code: str
    probability: float | None  # None: the language was given
    identified: IdentifiedLanguage | None = None  # of the clip alone; None: it was given


@dataclass(slots=True, eq=False)
class _ClipRow:
    """The state of one clip within a call."""

    clip: DecodeRequest
    language: _Language | None  # None: not identified yet
    steps: Sequence[FallbackStep]  # that remain
    texts: list[Hypothesis] = field(default_factory=list)  # of all attempts so far
    accepted: Hypothesis | None = None  # the first of them that is

    def add(self, text: Hypothesis) -> None:
        self.texts.append(text)
        if self.accepted is None and is_accepted(text):
            self.accepted = text

    @property
    def is_settled(self) -> bool:
        return not self.steps or self.accepted is not None

    @property
    def due(self) -> FallbackStep | None:
        """The next step, or None if this call makes none."""
        had_one = len(self.texts) > len(self.clip.earlier)
        return None if self.is_settled or (self.clip.once and had_one) else self.steps[0]

    @property
    def hypothesis(self) -> Hypothesis:
        """The best text, with all texts in `earlier` unless the clip is settled."""
        found = self.accepted or select(self.texts)
        return found if self.is_settled else replace(found, earlier=tuple(self.texts))


class WhisperTranscriber:
    """A Whisper checkpoint on one device, for use from one thread.

    `limits` bounds the rows and encoder positions that are decoded together, and thereby memory, by
    default to what is usual on the device; the shortest clips go first.

    `folding` chooses the positions that a fold keeps. `attempts` are the fallback steps of a clip,
    by default `fallback_steps`. `steps` runs the decoder's steps, by default in the way that is
    fastest on the device.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: Device,
        *,
        fold: bool,
        folding: Folding = folded,
        attempts: Sequence[FallbackStep] | None = None,
        limits: BatchLimits | None = None,
        steps: StepExecutor | None = None,
    ) -> None:
        dims = checkpoint.dims
        source = (checkpoint.state, device.device, device.dtype)
        in_encoder, in_decoder = _layers(device)
        parameters = Parameters(*source, in_decoder)
        decoder = Decoder(parameters, dims, checkpoint.alignment_heads)
        self.info = Model(checkpoint.name, checkpoint.sha256, device.numbers, fold)
        self._steps = fallback_steps(fold=fold) if attempts is None else attempts
        self.limits = limits or device.limits
        self._columns = dims.n_text_ctx
        self._vocabulary = Vocabulary(dims.n_vocab, dims.n_text_ctx)
        self._languages = frozenset(self._vocabulary.language_tokens or {"en"})
        workspace = Workspace(device.device, device.dtype)
        self._encoder = ClipEncoder(
            Parameters(*source, in_encoder), dims, decoder, folding, workspace
        )
        self._decoder = BatchDecoder(decoder, self._vocabulary, workspace, steps)
        self._stream = DeviceStream(device.device)

    @property
    def languages(self) -> frozenset[str]:
        """The Whisper codes that clips may name; "en" alone for an English-only checkpoint."""
        return self._languages

    @torch.inference_mode()
    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """Return one hypothesis a clip, in order; a text that is not accepted is decoded again.

        A clip with `once` gets only the first step that its `earlier` texts have not used. The last
        such call returns the text that one call with all steps returns.

        Clips last up to 30 s and may have any options. An English-only checkpoint decodes every
        clip as English. Raises `ValueError` for another length or an unknown language,
        `OutOfMemory` and `DeviceLost` as `device_errors` does.
        """
        for clip in clips:
            self._check(clip)
        rows = [self._row(clip) for clip in clips]
        by_length = sorted(rows, key=lambda row: len(row.clip.samples))
        with device_errors(), self._stream():
            for step in self._steps:
                due = [row for row in by_length if row.due is step]
                for batch in self._batches(due, step):
                    self._decode(batch, step)
        return [row.hypothesis for row in rows]

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Compile all products and run everything once, word times included.

        It allocates the buffers of the largest batch, unless the device has too little memory.
        """
        silence = DecodeRequest(np.zeros(WHISPER_RATE, np.float32), words=True)
        with suppress(OutOfMemory), device_errors(), self._stream():
            self._reserve()
        with device_errors(), self._stream():
            self._encoder.prepare(self.limits.rows)
            self._decode([self._row(silence)], self._steps[0])

    def _reserve(self) -> None:
        most, rounded = self.limits, self._decoder.rows
        self._encoder.reserve(
            (rounded(rows), most.positions // rows) for rows in range(1, most.rows + 1)
        )
        # A clip alone may have more rows than the limit: one for each temperature of a step.
        rows = max(most.rows, *(len(step.temperatures) for step in self._steps))
        self._decoder.reserve(rounded(rows), self._columns)

    def _check(self, clip: DecodeRequest) -> None:
        if not 0 < len(clip.samples) <= MAX_SAMPLES:
            raise ValueError(f"a clip of {len(clip.samples)} samples; give 1 to {MAX_SAMPLES}")
        if self._vocabulary.multilingual and not self.languages.issuperset(clip.languages):
            unknown = ", ".join(sorted({*clip.languages} - self.languages))
            raise ValueError(f"{self.info.name} has no language {unknown}; use one of `languages`")

    def _row(self, clip: DecodeRequest) -> _ClipRow:
        steps = [step for step in self._steps if not (step.folded and clip.padded)]
        rest = remaining(steps, len(clip.earlier))
        row = _ClipRow(clip, self._given(clip), rest)
        for text in clip.earlier:
            row.add(text)
        return row

    def _batches(
        self, rows: Sequence[_ClipRow], step: FallbackStep
    ) -> Iterator[Sequence[_ClipRow]]:
        """Yield the rows in order, in as few batches as the bounds allow."""
        times = len(step.temperatures)
        kept = [kept_positions(len(row.clip.samples), fold=step.folded) for row in rows]
        most = self.limits
        for run in runs(kept, rows=most.rows // times, positions=most.positions // times):
            yield rows[run]

    def _decode(self, rows: Sequence[_ClipRow], step: FallbackStep) -> None:
        """Decode rows at every temperature of a step, and add the texts to the rows."""
        clips = [row.clip for row in rows]
        times = len(step.temperatures)
        width = self._decoder.rows(times * len(clips))
        cache = self._encoder.encode(clips, fold=step.folded, times=times, rows=width)
        languages = self._languages_of(rows, cache)
        decodes = [
            (row, language, temperature)
            for row, language in zip(rows, languages, strict=True)
            for temperature in step.temperatures
        ]
        requests = [self._request(row.clip, language.code, t) for row, language, t in decodes]
        decoded = self._decoder.decode(cache, requests)
        for (row, language, temperature), result in zip(decodes, decoded, strict=True):
            row.language = language
            row.add(self._hypothesis(result, language, temperature, folded=step.folded))
        for row in rows:
            row.steps = row.steps[1:]

    def _given(self, clip: DecodeRequest) -> _Language | None:
        """Return the language that is known before the decode: that of earlier attempts is kept."""
        if clip.earlier:
            first = clip.earlier[0]
            return _Language(first.language, first.language_probability, first.identified)
        if not self._vocabulary.multilingual:
            return _Language("en", None)
        return _Language(clip.languages[0], None) if len(clip.languages) == 1 else None

    def _languages_of(self, rows: Sequence[_ClipRow], cache: DecoderCache) -> list[_Language]:
        """Return each row's language; unknown ones are identified in one step for all rows."""
        if all(row.language for row in rows):
            return [row.language for row in rows if row.language]
        identified = self._decoder.identify(cache, len(rows)).tolist()
        return [
            row.language or self._identified(row.clip, probabilities)
            for row, probabilities in zip(rows, identified, strict=True)
        ]

    def _identified(self, clip: DecodeRequest, probabilities: Sequence[float]) -> _Language:
        """Return the likeliest allowed language, or the held one where that takes precedence."""
        by_code = dict(zip(self._vocabulary.language_tokens, probabilities, strict=True))
        identified = identify(by_code, clip.languages, clip.speech_s)
        code = clip.language.decide(identified)
        return _Language(code, by_code[code], identified)

    def _request(self, clip: DecodeRequest, language: str, temperature: float) -> DecodeRow:
        positions = max(1, len(clip.samples) // POSITION_SAMPLES)
        return DecodeRow(
            prompt=self._vocabulary.prompt(clip, language),
            seed=zlib.crc32(amplitudes(clip.samples).tobytes()) if temperature else 0,
            temperature=temperature,
            align=positions if clip.words else None,
        )

    def _hypothesis(
        self, decoded: DecodedRow, language: _Language, temperature: float, *, folded: bool
    ) -> Hypothesis:
        text = self._vocabulary.text(decoded.tokens)
        return Hypothesis(
            text=text,
            language=language.code,
            language_probability=language.probability,
            tokens=decoded.tokens,
            avg_logprob=sum(decoded.logprobs) / (len(decoded.tokens) + 1),
            no_speech_prob=decoded.no_speech_prob,
            compression_ratio=compression_ratio(text),
            temperature=temperature,
            folded=folded,
            words=self._words(decoded, language.code),
            identified=language.identified,
            ended=decoded.ended,
        )

    def _words(self, decoded: DecodedRow, language: str) -> tuple[TimedWord, ...] | None:
        if decoded.starts_s is None:
            return None
        tokenizer = self._vocabulary.tokenizer(language)
        return timed_words(tokenizer, decoded.tokens, decoded.logprobs, decoded.starts_s)


def _layers(device: Device) -> tuple[type[Product], type[Product]]:
    """Return the products of the encoder and of the decoder."""
    if not device.int8:
        return Linear, Linear
    if device.dtype is torch.float32:
        return QuantizedLinear, QuantizedLinear
    return Linear, ByteLinear
