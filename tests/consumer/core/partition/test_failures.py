"""Decodes that fail: one utterance without a text, and everything else as without the failure."""

from __future__ import annotations

import random

import numpy as np
from budget import examples
from builders import Log, loud, quiet
from hypothesis import given
from hypothesis import strategies as st
from partition_harness import Worker

from consumer.core.audio.utterance import Int16Array
from consumer.core.partition.interim import InterimPolicy
from consumer.core.scheduling.jobs import Job, JobFailure
from consumer.core.text.hypothesis import Hypothesis
from consumer.testing import echo
from schemas.audio import StreamOptions
from schemas.errors import Reason
from schemas.transcript import AnyEvent, TranscriptFinal, UtteranceFailed

FAILURE = JobFailure("ValueError")


def log_of(*parts: Int16Array, options: StreamOptions = StreamOptions()) -> Log:  # noqa: B008
    log = Log()
    log.speak("s", np.concatenate(parts), end=True, options=options)
    return log


def numbers(events: list[AnyEvent], kind: type[TranscriptFinal | UtteranceFailed]) -> list[int]:
    return [event.utterance for event in events if isinstance(event, kind)]


def test_an_utterance_whose_decode_fails_is_a_dead_letter_with_its_audio():
    worker = Worker(write=lambda _: FAILURE)
    worker.read(*log_of(loud(1), quiet(1)).records)
    worker.finish_all()
    assert numbers(worker.events, UtteranceFailed) == [0]
    assert numbers(worker.events, TranscriptFinal) == []
    (letter,) = worker.store.dead_letters
    assert letter.reason is Reason.UNDECODABLE
    assert letter.utterance is not None
    assert letter.utterance.seconds > 1
    assert "ValueError was raised for this utterance and no other" in letter.message


def test_a_late_failure_is_ignored():
    worker = Worker()
    worker.read(*log_of(loud(1), quiet(1)).records)
    (job,) = worker.jobs
    worker.finish(job)
    worker.answer(job, FAILURE)
    worker.finish_all()
    assert numbers(worker.events, TranscriptFinal) == [0]


def test_a_failed_interim_decode_ends_those_of_its_utterance_and_not_its_final():
    worker = Worker(interim=InterimPolicy(every_s=0.7, eager=True))
    *records, last = log_of(loud(3), quiet(1), options=StreamOptions(partials=True)).records
    for record in records:
        worker.read(record)
        for job in list(worker.interims):
            worker.interims.remove(job)
            worker.answer(job, FAILURE)
    worker.read(last)
    worker.finish_all()
    assert numbers(worker.events, TranscriptFinal) == [0]


@examples(60)
@given(failing=st.sets(st.integers(0, 7)), seed=st.integers(0, 2**32))
def test_every_utterance_has_a_final_or_a_failure_in_order(failing: set[int], seed: int):
    def write(job: Job) -> Hypothesis | JobFailure:
        return FAILURE if job.id.utterance in failing else echo(job.utterance.samples)

    chance = random.Random(seed)
    worker = Worker(write=write)
    worker.read(*log_of(*[part for _ in range(8) for part in (loud(1), quiet(1))]).records)
    while worker.jobs:
        worker.finish(chance.choice(worker.jobs))
        if chance.random() < 0.3:
            worker.commit()
    worker.finish_all()
    ended = [e for e in worker.events if isinstance(e, TranscriptFinal | UtteranceFailed)]
    assert [event.utterance for event in ended] == list(range(8))
    assert {e.utterance for e in ended if isinstance(e, UtteranceFailed)} == failing
    assert len(worker.store.dead_letters) == len(failing)
