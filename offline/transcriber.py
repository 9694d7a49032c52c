"""Transcribe from Python, without Kafka and without asyncio.

    with Transcriber(language="en") as transcriber:
        print(transcriber.transcribe("talk.mp4").text)

The model is loaded once and kept until the end of the block.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy.typing as npt
import structlog

from consumer.settings import Settings
from offline.arguments import settings
from offline.samples import SampleSource
from offline.service import IN_FLIGHT, OfflineService, serving
from offline.transcript import IncompleteTranscriptError, Transcript
from producer.media import BlockingInput, max_open_files, open_input
from schemas.audio import StreamOptions, Task
from schemas.languages import language_tags, unknown_language
from transport.errors import first_error

Audio: TypeAlias = str | os.PathLike[str] | npt.NDArray[Any]


class OfflineTranscriber:
    """A context manager that loads the model. Its methods may be called from any thread.

    `model`: Whisper weights by name or path; empty: turbo on CUDA, base on the CPU. `device` and
    `dtype` are those of the settings; a worker's STREAMSCRIBE_* variables apply where nothing is
    given. Entering raises `ConfigError` and `DeviceLost`.
    """

    def __init__(
        self, model: str = "", *, device: str = "", dtype: str = "", threads: int = 0
    ) -> None:
        given = {"model": model, "device": device, "dtype": dtype, "threads": str(threads or "")}
        self._given = {name: text for name, text in given.items() if text}
        self._thread: threading.Thread
        self._loop: asyncio.AbstractEventLoop
        self._service: OfflineService
        self._stop: asyncio.Event
        self._turns: asyncio.Semaphore
        self._configures_log: bool

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        chosen = settings(os.environ, **self._given)
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(chosen, ready),), name="streamscribe", daemon=True
        )
        self._configures_log = not structlog.is_configured()
        if self._configures_log:
            _log_warnings_alone()
        self._thread.start()
        try:
            ready.result()
        except BaseException:
            self._restore_log()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._restore_log()

    def _restore_log(self) -> None:
        if self._configures_log:
            structlog.reset_defaults()

    def transcribe(
        self,
        audio: Audio,
        *,
        rate: int = 16_000,
        language: str | None = None,
        prompt: str | None = None,
        hotwords: str | None = None,
        translate: bool = False,
    ) -> Transcript:
        """Return the transcript of a file's audio, or of samples [n] or [n, channels].

        `rate`: of samples, in Hz. `language`: a BCP 47 tag, several with commas, or auto; None: as
        the settings say, else any. `prompt`: text assumed to precede the speech. `hotwords`: words
        to expect. `translate`: into English.

        Raises MediaError for what cannot be read, IncompleteTranscriptError with the
        transcript of what could, TranscriptionError, ValueError (options, samples), `DeviceLost`.
        """
        options = _options(language, prompt, hotwords, translate=translate)
        submitted = self._submit(audio, rate, options)
        try:
            return _checked(submitted.result())
        finally:
            submitted.cancel()  # if the wait was interrupted

    def transcribe_all(
        self,
        audios: Iterable[Audio],
        *,
        rate: int = 16_000,
        language: str | None = None,
        prompt: str | None = None,
        hotwords: str | None = None,
        translate: bool = False,
    ) -> Iterator[Transcript]:
        """Yield the transcript of each input, in order, as `transcribe` returns it.

        Several inputs are transcribed at the same time, in common batches: that is faster than one
        after the other. What is missing of an input is in its `problems`; one that cannot be read
        at all raises, which ends the iteration.
        """
        options = _options(language, prompt, hotwords, translate=translate)
        waiting: deque[Future[Transcript]] = deque()
        remaining = iter(audios)
        try:
            while True:
                for audio in islice(remaining, IN_FLIGHT - len(waiting)):
                    waiting.append(self._submit(audio, rate, options))
                if not waiting:
                    return
                yield waiting[0].result()
                waiting.popleft()
        finally:
            for each in waiting:
                each.cancel()

    def _submit(self, audio: Audio, rate: int, options: StreamOptions) -> Future[Transcript]:
        return asyncio.run_coroutine_threadsafe(self._run(audio, rate, options), self._loop)

    async def _run(self, audio: Audio, rate: int, options: StreamOptions) -> Transcript:
        source = await asyncio.to_thread(self._source, audio, rate)
        return await self._service.transcribe(source, options)

    def _source(self, audio: Audio, rate: int) -> BlockingInput:
        if isinstance(audio, (str, os.PathLike)):
            return open_input(Path(audio), self._turns)
        return SampleSource(audio, rate)

    async def _serve(self, chosen: Settings, ready: Future[None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._turns = asyncio.Semaphore(max_open_files())
        try:
            async with serving(chosen) as self._service:
                ready.set_result(None)
                await self._stop.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(first_error(error))
            elif not isinstance(error, BaseExceptionGroup):
                raise
            else:
                await self._stop.wait()  # until then, every call raises what ended the service


def _options(
    language: str | None, prompt: str | None, hotwords: str | None, *, translate: bool
) -> StreamOptions:
    tags = None
    if language is not None:
        tags, unknown = language_tags(language)
        if unknown:
            raise unknown_language(unknown[0])
    return StreamOptions(
        languages=tags,
        prompt=prompt,
        hotwords=hotwords,
        task=Task.TRANSLATE if translate else None,
    )


def _checked(transcript: Transcript) -> Transcript:
    if transcript.problems:
        raise IncompleteTranscriptError(transcript)
    return transcript


def _log_warnings_alone() -> None:
    """Keep the log of a program that has not configured structlog to warnings, on stderr."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
