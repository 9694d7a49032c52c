"""Texts decoded offline are those that a worker publishes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from builders import Log, loud, quiet
from hypothesis import given, settings
from hypothesis import strategies as st
from partition_harness import Worker

from bench.quality.decoding import clip_request, decoded, published_text
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.scheduling.capacity import BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.testing import echo
from schemas.audio import StreamOptions
from schemas.transcript import Model


def text_of(length: int, seed: int, *, is_excerpt: bool) -> Hypothesis:
    """Return a text that leaves out some of the end; that of an excerpt may be doubtful."""
    chance = random.Random(f"{length} {seed}")
    covered_s = max(0.3, length / WHISPER_RATE - chance.choice([0.0, 1.5, 4.0]))
    word = TimedWord(f"w{length}", 0.0, covered_s, 0.9)
    text = replace(echo(np.zeros(length, np.int16)), text=word.text, words=(word,))
    doubtful = is_excerpt and chance.random() < 0.3
    return replace(text, earlier=(text,)) if doubtful else text


class LeavesSpeechOut:
    """A transcriber whose texts depend on the length of the audio, and on a seed."""

    info = Model("echo", "0" * 64, "float32", fold=False)
    languages = frozenset({"en"})
    limits = BatchLimits(16, 8192)

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.requests: list[DecodeRequest] = []

    def warm_up(self) -> None:
        """Do nothing."""

    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        self.requests += clips
        return [text_of(len(one.samples), self.seed, is_excerpt=one.once) for one in clips]


@settings(max_examples=30)
@given(st.lists(st.floats(1.0, 14.0), min_size=1, max_size=4), st.integers(0, 1000))
def test_speech_that_a_text_leaves_out_is_decoded_as_the_worker_does_it(
    lengths: list[float], seed: int
):
    log = Log()
    speech = [part for seconds in lengths for part in (loud(seconds), quiet(0.8))]
    log.speak("s", np.concatenate(speech), end=True, options=StreamOptions(words=True))
    worker = Worker(
        write=lambda job: text_of(len(job.utterance.samples), seed, is_excerpt=job.is_excerpt)
    )
    worker.read(*log.records)
    utterances = [job.utterance for job in worker.jobs]
    while worker.jobs:
        worker.finish(worker.jobs[0])

    requests = [clip_request(each.samples, "en", each.speech) for each in utterances]
    texts = decoded(LeavesSpeechOut(seed), requests, lambda _, __: None, "")
    published = [published_text(text, each) for text, each in zip(texts, utterances, strict=True)]
    assert published == [final.text for final in worker.finals]


def test_clips_without_scores_of_a_detector_are_decoded_once():
    transcriber, seconds = LeavesSpeechOut(), list[float]()
    requests = [clip_request(loud(length), "en") for length in (3.0, 1.0, 2.0)]
    texts = decoded(transcriber, requests, lambda done_s, _: seconds.append(done_s), "clips")
    assert [text.text for text in texts] == ["w48000", "w16000", "w32000"]
    assert transcriber.requests == [requests[1], requests[2], requests[0]]  # by length
    assert seconds == [6.0]
