"""The engine in this process: one thread that owns the model. Nothing here decides anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Final, Protocol, Self, TypeVar

import numpy as np
import soundfile
import soxr

from consumer.core.audio.samples import FULL_SCALE
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Utterance
from consumer.core.scheduling.capacity import BatchTiming, positions
from consumer.core.scheduling.jobs import Batch, DecodeRequest, Job
from consumer.core.streams.language import UNKNOWN
from consumer.core.text.chinese import CODE, prompt
from consumer.core.text.hypothesis import Hypothesis
from consumer.errors import DeviceLost, OutOfMemory
from consumer.inference.device import set_threads
from schemas.audio import Task
from schemas.languages import whisper_code
from schemas.transcript import Model

T = TypeVar("T")

_TIMED_ROWS: Final = (1, 8)
_RUNS: Final = 2  # of which the faster counts: the first may still be preparing for its shape


class Transcriber(Protocol):
    """Writes what was said; used from one thread. All that another engine has to offer."""

    info: Model

    @property
    def languages(self) -> frozenset[str]:
        """Whisper codes that a clip may name."""

    def warm_up(self) -> None:
        """Do once what the first call would otherwise do late."""

    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """One hypothesis a clip, in order; clips of up to 30 s that may differ in everything.

        Where a clip wants one attempt and its text should not stand, `tried` says so: if it is of
        an utterance that has ended, the clip comes again with it.
        """


class LocalEngine:
    """An asynchronous context manager: entering it warms the model, leaving it ends the threads.

    Once entered, `timings` says what a small and a large batch of real speech took.

    `threads`: of the model's products. `timeout_s`: a batch
    that takes longer has hung, and with it the device.
    """

    def __init__(self, transcriber: Transcriber, *, threads: int, timeout_s: float) -> None:
        self._transcriber = transcriber
        self._timeout_s = timeout_s
        self.timings: tuple[BatchTiming, ...] = ()
        self._model = ThreadPoolExecutor(1, "model", set_threads, (threads,))

    async def __aenter__(self) -> Self:
        await _on(self._model, self._transcriber.warm_up)
        self.timings = await _on(self._model, self._measure)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._model.shutdown(wait=False, cancel_futures=True)

    async def transcribe(self, batch: Batch) -> list[Hypothesis]:
        """Raises `DeviceLost` when the device fails, or does not answer."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await _on(self._model, lambda: self._decode(batch))
        except TimeoutError:
            raise DeviceLost(
                f"the model has not answered for {self._timeout_s:.0f} s; restart the worker"
            ) from None

    def _measure(self) -> tuple[BatchTiming, ...]:
        clip = DecodeRequest(_known_speech(), languages=("en",), words=True)
        return tuple(self._timing([clip] * rows) for rows in _TIMED_ROWS)

    def _timing(self, clips: Sequence[DecodeRequest]) -> BatchTiming:
        seconds = min(_seconds(lambda: self._write(clips)) for _ in range(_RUNS))
        rows, length = len(clips), len(clips[0].samples) / WHISPER_RATE
        return BatchTiming(rows * positions(length), seconds)

    def _decode(self, batch: Batch) -> list[Hypothesis]:
        clips = [self._clip(job, padded=batch.padded) for job in batch.jobs]
        return self._write(clips)

    def _write(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """As one batch; where the device's memory does not hold it, as its two halves."""
        try:
            return self._transcriber.transcribe(clips)
        except OutOfMemory as error:
            if len(clips) == 1:
                raise DeviceLost(
                    f"a single clip of {len(clips[0].samples) / WHISPER_RATE:.1f} s does not fit "
                    f"into the device's memory ({error}); use a smaller model, or end what else "
                    "uses the device"
                ) from error
        half = len(clips) // 2  # here, because the error keeps the failed batch's tensors alive
        return self._write(clips[:half]) + self._write(clips[half:])

    def _clip(self, job: Job, *, padded: bool) -> DecodeRequest:
        options = job.options
        asked = dict.fromkeys(whisper_code(tag) for tag in options.languages or ())
        languages = tuple(code for code in asked if code in self._transcriber.languages)
        held = job.language if job.language.code in self._transcriber.languages else UNKNOWN
        task = options.task or Task.TRANSCRIBE
        given = languages[0] if len(languages) == 1 else ""
        return DecodeRequest(
            samples=whisper_samples(job.utterance),
            languages=languages,
            language=held,
            speech=job.utterance.speech,
            task=task,
            prompt=prompt(given, options.prompt, task),
            chinese_prompt=prompt(CODE, options.prompt, task),
            hotwords=options.hotwords,
            words=bool(options.words),
            padded=padded,
            earlier=job.earlier,
            once=not job.isolated or job.is_excerpt,
        )


def whisper_samples(utterance: Utterance) -> Float32Array:
    """[n] at WHISPER_RATE: the closed utterance is resampled once, whole, so no state is kept."""
    samples: Float32Array = utterance.samples.astype(np.float32)
    samples /= FULL_SCALE
    if utterance.rate == WHISPER_RATE:
        return samples
    resampled: Float32Array = soxr.resample(samples, utterance.rate, WHISPER_RATE)
    return resampled


def _known_speech() -> Float32Array:
    """[n] at WHISPER_RATE: silence would be decoded sooner than speech, noise again and again.

    The first 4.2 s of samples/en_ljspeech.flac (public domain), which say 13 words.
    """
    with files("consumer").joinpath("warm_up.flac").open("rb") as file:
        samples: Float32Array = soundfile.read(file, dtype="float32")[0]
    return samples


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def _on(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, work)
