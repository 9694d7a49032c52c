"""Clips decoded without a broker, to the texts that the worker would publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from bench.checkpoints import use_requested_threads
from bench.framework import Advance, BenchContext, machine
from bench.quality.recordings import SCORED
from consumer.core.audio.gain import levelled
from consumer.core.audio.samples import to_float
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array, Speech, Utterance
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.chinese import prompt
from consumer.core.text.hallucination import Given
from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.missing_speech import (
    MAX_EXCERPTS,
    MissingSpeech,
    find_missing_speech,
    merged,
    within,
)
from consumer.core.text.quality import assess
from consumer.engine.transcriber_thread import Transcriber
from consumer.inference.device import set_threads
from consumer.model_loading import load_transcriber
from consumer.settings import Settings

_BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class OfflineDecoder:
    """The transcriber of a worker, on the clips of a bench."""

    context: BenchContext
    transcriber: Transcriber
    threads: int  # of the model

    @classmethod
    def load(cls, context: BenchContext, settings: Settings | None = None) -> Self:
        """Load the model that was asked for. Raises `ConfigError`, `DeviceLost`."""
        asked = context.arguments
        transcriber = load_transcriber(settings or Settings(model=asked.model, dtype=asked.dtype))
        return cls(context, transcriber, use_requested_threads(context))

    @property
    def languages(self) -> list[str]:
        """Languages of the model in which error rates are computed."""
        return [code for code in SCORED if code in self.transcriber.languages]

    @property
    def measured_on(self) -> dict[str, Any]:
        info = self.transcriber.info
        return machine(info.dtype, self.threads, model=info.name)

    @contextmanager
    def detecting(self) -> Iterator[None]:
        """Compute with one thread: the products of a speech detector are too small to share."""
        set_threads(1)
        try:
            yield
        finally:
            set_threads(self.threads)

    def decode(self, requests: Sequence[DecodeRequest], what: str) -> list[Hypothesis]:
        """Return one text a request, in order, and show progress; `what`: its description."""
        with self.context.progress(sum(each.seconds for each in requests)) as advance:
            return decoded(self.transcriber, requests, advance, what)


def decoded(
    transcriber: Transcriber, requests: Sequence[DecodeRequest], advance: Advance, what: str
) -> list[Hypothesis]:
    """Return one text a request, in order; decode in batches of similar length.

    `advance` is called with seconds of audio and `what`.
    """
    order = sorted(range(len(requests)), key=lambda index: len(requests[index].samples))
    found: dict[int, Hypothesis] = {}
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        texts = transcribed(transcriber, [requests[at] for at in batch])
        found |= zip(batch, texts, strict=True)
        advance(sum(requests[at].seconds for at in batch), what)
    return [found[index] for index in range(len(requests))]


def transcribed(
    transcriber: Transcriber, requests: Sequence[DecodeRequest], depth: int = MAX_EXCERPTS
) -> list[Hypothesis]:
    """Return one text a request; speech that a text leaves out is decoded by itself and merged.

    The same as `consumer.core.partition.utterances` does with jobs. Requests without `speech` are
    not searched.
    """
    texts = transcriber.transcribe(requests)
    missing = {
        at: found
        for at, request in enumerate(requests if depth else ())
        if request.speech is not None
        and (found := find_missing_speech(request.speech, request.seconds, texts[at])) is not None
    }
    if missing:
        excerpts = [_excerpt(requests[at], texts[at], each) for at, each in missing.items()]
        parts = transcribed(transcriber, excerpts, depth - 1)
        for (at, each), part in zip(missing.items(), parts, strict=True):
            texts[at] = merged(texts[at], each, part)
    return texts


def _excerpt(request: DecodeRequest, text: Hypothesis, missing: MissingSpeech) -> DecodeRequest:
    """Return the request for a stretch: one attempt, in the language of the text around it."""
    first, end = (round(at_s * WHISPER_RATE) for at_s in (missing.start_s, missing.end_s))
    assert request.speech is not None
    return replace(
        request,
        samples=request.samples[first:end],
        languages=(text.language,),
        speech=within(request.speech, missing),
        once=True,
    )


def clip_request(samples: Int16Array, language: str, speech: Speech | None = None) -> DecodeRequest:
    """Return the request for [n] samples at WHISPER_RATE, with the prompt of a live stream."""
    given = prompt(language, None)
    levels = levelled(to_float(samples))
    return DecodeRequest(levels, (language,), speech=speech, prompt=given, words=True)


def published_text(hypothesis: Hypothesis, utterance: Utterance) -> str:
    """Return what the worker publishes of a text: nothing where it suppresses it."""
    assessed = assess(hypothesis, utterance, Given(prompt(hypothesis.language, None)))
    return "" if assessed.is_suppressed else assessed.hypothesis.text
