"""Clips in, hypotheses out: Whisper with the folded encoder, for batches of unlike clips."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from whisper.utils import compression_ratio

from consumer.core.scheduling.capacity import POSITION_SAMPLES
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.streams.language import IdentifiedLanguage, identify
from consumer.core.text.fallback import FallbackStep, fallback_steps, is_accepted, remaining, select
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.errors import OutOfMemory
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.clip_encoder import ClipEncoder
from consumer.inference.decode import BatchDecoder, DecodedRow, DecodeRow
from consumer.inference.device import Device, DeviceStream, device_errors
from consumer.inference.fold import MAX_SAMPLES, Folding, folded, kept_positions, runs
from consumer.inference.graph_capture import StepExecutor
from consumer.inference.layers import ByteLinear, Linear, Parameters
from consumer.inference.model import Decoder, DecoderCache
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.words import timed_words
from consumer.inference.workspace import Workspace
from schemas.transcript import Model


@dataclass(frozen=True, slots=True)
class _Language:
    """What a clip is decoded as."""

    code: str
    probability: float | None  # None: given
    identified: IdentifiedLanguage | None = None  # the clip by itself; None: given


@dataclass(slots=True, eq=False)
class _ClipRow:
    """One clip on its way."""

    clip: DecodeRequest
    language: _Language | None  # None: not yet known
    attempts: Sequence[FallbackStep]  # that are left
    texts: list[Hypothesis]  # of those that were made

    @property
    def is_settled(self) -> bool:
        return not self.attempts or any(map(is_accepted, self.texts))

    @property
    def due(self) -> FallbackStep | None:
        """The next attempt; None: not in this call."""
        had_one = len(self.texts) > len(self.clip.earlier)
        return None if self.is_settled or (self.clip.once and had_one) else self.attempts[0]

    @property
    def hypothesis(self) -> Hypothesis:
        found = select(self.texts)
        return found if self.is_settled else replace(found, earlier=tuple(self.texts))


class WhisperTranscriber:
    """A Whisper checkpoint on one device; for one thread.

    What is decoded together is bounded in texts and in encoder positions, and with it memory; the
    shortest clips go first.

    `folding` says which positions a clip's fold keeps, `attempts` how often a clip is decoded and
    how; None: until its text can be trusted, by `ladder`. `steps` does the decoder's; None: as is
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
        max_rows: int = 16,
        max_positions: int = 8192,
        steps: StepExecutor | None = None,
    ) -> None:
        dims = checkpoint.dims
        where = (checkpoint.state, device.device, device.dtype)
        parameters = Parameters(*where, ByteLinear if device.int8 else Linear)
        decoder = Decoder(parameters, dims, checkpoint.alignment_heads)
        self.info = Model(checkpoint.name, checkpoint.sha256, device.numbers, fold)
        self._attempts = fallback_steps(fold=fold) if attempts is None else attempts
        self._max_rows = max_rows
        self._max_positions = max_positions
        self._vocabulary = Vocabulary(dims.n_vocab, dims.n_text_ctx)
        workspace = Workspace(device.device, device.dtype)
        self._listener = ClipEncoder(Parameters(*where), dims, decoder, folding, workspace)
        self._decoder = BatchDecoder(decoder, self._vocabulary, workspace, steps)
        self._queue = DeviceStream(device.device)

    @property
    def languages(self) -> frozenset[str]:
        """Whisper codes that clips may name; of an English-only checkpoint "en" alone."""
        return frozenset(self._vocabulary.language_tokens or {"en"})

    @torch.inference_mode()
    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """One hypothesis a clip, in their order; clips whose text looks wrong are decoded again.

        A clip that wants one attempt gets the first that its `tried` has not had; the last text
        stands as if all attempts had been made here.

        Clips last above 0 to 30 s and may differ in everything. An English-only checkpoint takes
        every clip as English. Raises ValueError for another length or an unknown language,
        OutOfMemory and DeviceLost as `device_errors` tells them.
        """
        for clip in clips:
            self._check(clip)
        rows = [self._row(clip) for clip in clips]
        by_length = sorted(rows, key=lambda row: len(row.clip.samples))
        with device_errors(), self._queue():
            for attempt in self._attempts:
                due = [row for row in by_length if row.due is attempt]
                for batch in self._batches(due, attempt):
                    self._attempt(batch, attempt)
        return [row.hypothesis for row in rows]

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Compile all products, and run everything once, word times and their warping included.

        What the largest batch needs is held from here on, unless it is more than the device has.
        """
        silence = DecodeRequest(np.zeros(MAX_SAMPLES // 30, np.float32), words=True)
        with suppress(OutOfMemory), device_errors(), self._queue():
            self._listener.reserve(self._max_rows, self._max_positions)
        with device_errors(), self._queue():
            self._listener.prepare(self._max_rows)
            self._attempt([self._row(silence)], self._attempts[0])

    def _check(self, clip: DecodeRequest) -> None:
        if not 0 < len(clip.samples) <= MAX_SAMPLES:
            raise ValueError(f"a clip of {len(clip.samples)} samples; 1 to {MAX_SAMPLES} will do")
        if self._vocabulary.multilingual and not self.languages.issuperset(clip.languages):
            unknown = ", ".join(sorted({*clip.languages} - self.languages))
            raise ValueError(f"{self.info.name} knows no language called {unknown}")

    def _row(self, clip: DecodeRequest) -> _ClipRow:
        attempts = [each for each in self._attempts if not (each.folded and clip.padded)]
        rest = remaining(attempts, len(clip.earlier))
        return _ClipRow(clip, self._given(clip), rest, [*clip.earlier])

    def _batches(
        self, rows: Sequence[_ClipRow], attempt: FallbackStep
    ) -> Iterator[Sequence[_ClipRow]]:
        """Rows in their order, the shortest first, in as few batches as the bounds allow."""
        times = len(attempt.temperatures)
        kept = [kept_positions(len(row.clip.samples), fold=attempt.folded) for row in rows]
        for run in runs(kept, rows=self._max_rows // times, positions=self._max_positions // times):
            yield rows[run]

    def _attempt(self, rows: Sequence[_ClipRow], attempt: FallbackStep) -> None:
        """Decode rows once at every temperature, and note what came out."""
        clips = [row.clip for row in rows]
        times = len(attempt.temperatures)
        memory = self._listener.encode(clips, fold=attempt.folded, times=times)
        languages = self._languages(rows, memory)
        tries = [
            (row, language, temperature)
            for row, language in zip(rows, languages, strict=True)
            for temperature in attempt.temperatures
        ]
        requests = [self._request(row.clip, code.code, degree) for row, code, degree in tries]
        decoded = self._decoder.decode(memory, requests)
        for (row, language, temperature), result in zip(tries, decoded, strict=True):
            row.language = language
            text = self._hypothesis(result, language, temperature, folded=attempt.folded)
            row.texts.append(text)
        for row in rows:
            row.attempts = row.attempts[1:]

    def _given(self, clip: DecodeRequest) -> _Language | None:
        """The language of an earlier attempt is kept: what it was heard in does not change."""
        if clip.earlier:
            first = clip.earlier[0]
            return _Language(first.language, first.language_probability, first.identified)
        if not self._vocabulary.multilingual:
            return _Language("en", None)
        return _Language(clip.languages[0], None) if len(clip.languages) == 1 else None

    def _languages(self, rows: Sequence[_ClipRow], memory: DecoderCache) -> list[_Language]:
        """Every row's language; unknown ones are identified, which costs one step for all."""
        if all(row.language for row in rows):
            return [row.language for row in rows if row.language]
        heard = self._decoder.identify(memory).tolist()
        return [
            row.language or self._likeliest(row.clip, probabilities)
            for row, probabilities in zip(rows, heard, strict=True)
        ]

    def _likeliest(self, clip: DecodeRequest, probabilities: Sequence[float]) -> _Language:
        """The likeliest of those allowed, unless what is held speaks against it."""
        heard = dict(zip(self._vocabulary.language_tokens, probabilities, strict=True))
        identified = identify(heard, clip.languages, clip.speech_s)
        code = clip.language.decide(identified)
        return _Language(code, heard[code], identified)

    def _request(self, clip: DecodeRequest, language: str, temperature: float) -> DecodeRow:
        inside = max(1, len(clip.samples) // POSITION_SAMPLES)
        return DecodeRow(
            prompt=self._vocabulary.prompt(clip, language),
            seed=zlib.crc32(clip.samples.tobytes()),
            temperature=temperature,
            align=inside if clip.words else None,
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
        if decoded.alignment is None:
            return None
        tokenizer = self._vocabulary.tokenizer(language)
        return timed_words(tokenizer, decoded.tokens, decoded.logprobs, decoded.alignment)
