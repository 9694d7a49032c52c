"""The thread that runs the model, one batch at a time."""

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
import structlog

from consumer.core.audio.gain import levelled
from consumer.core.audio.samples import FULL_SCALE
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Utterance
from consumer.core.scheduling.capacity import CONTEXT, BatchLimits, BatchTiming, positions
from consumer.core.scheduling.jobs import Batch, DecodeRequest, Job, JobFailure, Samples
from consumer.core.streams.language import UNKNOWN
from consumer.core.text.chinese import CODE, prompt
from consumer.core.text.hypothesis import Hypothesis
from consumer.errors import DeviceLost, OutOfMemory, SttError, where_raised
from consumer.inference.device import set_threads
from schemas.audio import Task
from schemas.languages import whisper_code
from schemas.transcript import Model

log = structlog.get_logger(__name__)

T = TypeVar("T")

_RUNS: Final = 2  # the faster one counts: the first may include compilation for its shape
_SHARE: Final = 4  # the large batch has this part of the rows that fit: it takes its time to start


class Transcriber(Protocol):
    """A speech recognition model, called from one thread: what another model has to implement."""

    info: Model
    limits: BatchLimits

    @property
    def languages(self) -> frozenset[str]:
        """The Whisper codes that a clip may name."""

    def warm_up(self) -> None:
        """Compile and allocate what the first call would otherwise have to."""

    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """Return one hypothesis a clip, in order, for clips of up to 30 s with any options.

        A clip with `once` gets one attempt. If that text is not accepted, the hypothesis holds all
        attempts in `earlier`, and the caller submits the clip again with them.
        """


class TranscriberThread:
    """`consumer.interfaces.BatchTranscriber` over a transcriber.

    An asynchronous context manager: entering it warms the model up and measures `timings`, the
    durations of a small and a large batch of speech; leaving it ends the thread.

    `threads` is the number of threads of a matrix product. A batch that takes longer than
    `timeout_s` is taken for a hung device.
    """

    def __init__(self, transcriber: Transcriber, *, threads: int, timeout_s: float) -> None:
        self._transcriber = transcriber
        self.info, self.limits = transcriber.info, transcriber.limits
        self._timeout_s = timeout_s
        self.timings: tuple[BatchTiming, ...] = ()
        self._model = ThreadPoolExecutor(1, "model", set_threads, (threads,))

    async def __aenter__(self) -> Self:
        await _on(self._model, self._transcriber.warm_up)
        self.timings = await _on(self._model, self._measure)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._model.shutdown(wait=False, cancel_futures=True)

    async def transcribe(self, batch: Batch) -> list[Hypothesis | JobFailure]:
        """Return one reply a job.

        If the model raises, each job is decoded alone, and a job that raises again is a failure.
        Raises `DeviceLost` when the device fails or hangs, and any error of the model that known
        speech causes, too.
        """
        try:
            return [*await self._run(lambda: self._decode(batch))]
        except (SttError, MemoryError):
            raise
        except Exception:  # noqa: BLE001 -- what a model raises is not known here
            return [await self._decode_alone(job, padded=batch.padded) for job in batch.jobs]

    async def _decode_alone(self, job: Job, *, padded: bool) -> Hypothesis | JobFailure:
        try:
            (hypothesis,) = await self._run(lambda: self._decode(Batch((job,), padded=padded)))
        except (SttError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001
            await self._run(self._decode_known)
            _log_failure(job, error)
            return JobFailure(type(error).__name__)
        return hypothesis

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await _on(self._model, work)
        except TimeoutError:
            raise DeviceLost(
                f"the model has not answered for {self._timeout_s:.0f} s; restart the worker"
            ) from None

    def _measure(self) -> tuple[BatchTiming, ...]:
        clip = _known_clip()
        many = max(2, self._transcriber.limits.rows // _SHARE)
        return tuple(self._timing([clip] * rows) for rows in (1, many))

    def _decode_known(self) -> list[Hypothesis]:
        return self._transcribe([_known_clip()])

    def _timing(self, clips: Sequence[DecodeRequest]) -> BatchTiming:
        seconds = min(_seconds(lambda: self._transcribe(clips)) for _ in range(_RUNS))
        rows, length = len(clips), len(clips[0].samples) / WHISPER_RATE
        each = positions(length) if self._transcriber.info.fold else CONTEXT
        return BatchTiming(rows * each, seconds)

    def _decode(self, batch: Batch) -> list[Hypothesis]:
        if batch.threads:
            set_threads(batch.threads)
        clips = [self._clip(job, padded=batch.padded) for job in batch.jobs]
        return self._transcribe(clips)

    def _transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """Transcribe one batch, or its two halves where the device runs out of memory."""
        try:
            return self._transcriber.transcribe(clips)
        except OutOfMemory as error:
            if len(clips) == 1:
                raise DeviceLost(
                    f"a single clip of {len(clips[0].samples) / WHISPER_RATE:.1f} s does not fit "
                    f"into the device's memory ({error}); use a smaller model, or stop other "
                    "processes on the device"
                ) from error
        half = len(clips) // 2  # outside `except`: the error keeps the batch's tensors alive
        return self._transcribe(clips[:half]) + self._transcribe(clips[half:])

    def _clip(self, job: Job, *, padded: bool) -> DecodeRequest:
        options = job.options
        requested = dict.fromkeys(whisper_code(tag) for tag in options.languages or ())
        languages = tuple(code for code in requested if code in self._transcriber.languages)
        held = job.language if job.language.code in self._transcriber.languages else UNKNOWN
        task = options.task or Task.TRANSCRIBE
        given = languages[0] if len(languages) == 1 else ""
        return DecodeRequest(
            samples=request_samples(job.utterance),
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


def request_samples(utterance: Utterance) -> Samples:
    """Return the samples at WHISPER_RATE, [n]: as recorded if that is the utterance's own rate."""
    return utterance.samples if utterance.rate == WHISPER_RATE else whisper_samples(utterance)


def whisper_samples(utterance: Utterance) -> Float32Array:
    """Return the samples at WHISPER_RATE, [n], in [-1, 1], at a usual level.

    An utterance is complete, so it is resampled in one call and no filter state is kept.
    """
    samples: Float32Array = utterance.samples.astype(np.float32)
    samples /= FULL_SCALE
    if utterance.rate != WHISPER_RATE:
        samples = soxr.resample(samples, utterance.rate, WHISPER_RATE)
    return levelled(samples)


def _log_failure(job: Job, error: Exception) -> None:
    log.error(
        "decode failed",
        stream=job.id.session.stream_id,
        utterance=job.id.utterance,
        error=type(error).__name__,
        traceback=where_raised(error),
        action="the utterance is a dead letter; report the traceback",
    )


def _known_clip() -> DecodeRequest:
    return DecodeRequest(_known_speech(), languages=("en",), words=True)


def _known_speech() -> Float32Array:
    """Return speech of 13 words at WHISPER_RATE, [n].

    It is the first 4.2 s of samples/en_ljspeech.flac (public domain). Silence would be decoded
    faster than speech, and noise several times.
    """
    with files("consumer").joinpath("warm_up.flac").open("rb") as file:
        samples: Float32Array = soundfile.read(file, dtype="float32")[0]
    return samples


def _seconds(work: Callable[[], object]) -> float:
    """Return how long the call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def _on(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, work)
