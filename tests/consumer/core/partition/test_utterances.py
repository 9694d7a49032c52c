"""Answers of the engine, in any order and repeated, and the events that follow from them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from budget import examples
from builders import Log, loud, quiet
from hypothesis import given
from hypothesis import strategies as st
from partition_harness import Worker, sorted_by_stream, without_timing

from consumer.core.audio.utterance import Int16Array
from consumer.core.partition.interim import InterimPolicy
from consumer.core.scheduling.jobs import Job, JobKind
from consumer.core.scheduling.planner import RETRY_DELAY_S
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.missing_speech import MAX_EXCERPTS
from consumer.testing import echo
from schemas.audio import StreamOptions, Task
from schemas.transcript import AnyEvent, TranscriptFinal, TranscriptPartial, UtteranceStarted

EAGER = InterimPolicy(every_s=0.7, eager=True)
PARTIALS = StreamOptions(partials=True)


def spoken(*parts: Int16Array, options: StreamOptions = StreamOptions()) -> Log:  # noqa: B008
    log = Log()
    log.speak("s", np.concatenate(parts), end=False, options=options)
    return log


def unaccepted(job: Job) -> Hypothesis:
    """Return a text of the job that is not accepted."""
    text = echo(job.utterance.samples)
    return replace(text, earlier=(*job.earlier, text))


# --- interim decodes


def test_an_onset_is_published_once_and_only_for_streams_with_partials():
    wanted, unwanted = Worker(), Worker()
    for worker, options in ((wanted, PARTIALS), (unwanted, StreamOptions())):
        for record in spoken(loud(1), options=options).records:
            worker.read(record)
    assert [type(event) for event in wanted.broadcast] == [UtteranceStarted]
    assert unwanted.broadcast == []


def test_the_text_of_a_probable_end_becomes_the_final_without_another_decode():
    worker = Worker(interim=EAGER)
    for record in spoken(loud(1), quiet(1)).records:
        worker.read(record)
        for job in list(worker.interims):
            worker.finish(job)
    assert worker.jobs == []
    (final,) = worker.finals
    assert final.timing.queue_ms == 0


def test_an_interim_text_of_the_same_audio_replaces_a_queued_final():
    worker = Worker(interim=EAGER)
    worker.read(*spoken(loud(1), quiet(1), options=PARTIALS).records)
    (job,) = worker.jobs
    # As if it had been requested just before the cut.
    interim = replace(job, kind=JobKind.INTERIM, request=0)
    (final,) = worker.answer(interim, echo(job.utterance.samples))
    assert worker.jobs == []  # it was cancelled
    assert final.text == echo(job.utterance.samples).text
    assert worker.answer(job, echo(job.utterance.samples)) == []


def test_an_interim_text_that_is_not_accepted_counts_as_an_attempt_of_the_final():
    worker = Worker(interim=EAGER)
    worker.read(*spoken(loud(1), quiet(1)).records)
    (job,) = worker.jobs
    worker.answer(replace(job, kind=JobKind.INTERIM, request=0), unaccepted(job), now=5.0)
    (retry,) = worker.jobs
    assert (len(retry.earlier), retry.deadline) == (1, 5.0 + RETRY_DELAY_S)


def test_an_interim_text_of_other_audio_than_the_final_is_not_published():
    worker = Worker()
    for record in spoken(loud(2), quiet(1), options=PARTIALS).records:
        worker.read(record)
    assert worker.jobs
    for job in list(worker.interims):
        worker.finish(job)
    assert not [event for event in worker.broadcast if isinstance(event, TranscriptPartial)]


def test_no_partial_is_published_after_the_onset_of_a_newer_utterance():
    worker = Worker()
    for record in spoken(loud(2), quiet(1), loud(1), options=PARTIALS).records:
        worker.read(record)
    first = [job for job in worker.interims if job.id.utterance == 0]
    (final,) = worker.jobs
    worker.finish(final)
    for job in first:
        worker.answer(job, echo(job.utterance.samples))
    assert [type(event) for event in worker.broadcast] == [UtteranceStarted, UtteranceStarted]


def test_a_text_that_would_be_suppressed_makes_no_partial():
    worker = Worker(write=lambda job: replace(echo(job.utterance.samples), text="Thank you."))
    for record in spoken(loud(1), options=PARTIALS).records:
        worker.read(record)
    suppressed = replace(
        echo(quiet(1)), text="Thank you.", no_speech_prob=0.99, avg_logprob=-1.5, tokens=(1, 2)
    )
    for job in worker.interims:
        worker.answer(job, suppressed)
    assert [type(event) for event in worker.broadcast] == [UtteranceStarted]


# --- fallbacks


def test_a_text_that_is_not_accepted_is_decoded_again_after_a_second():
    worker = Worker()
    worker.read(*spoken(loud(1), quiet(1)).records)
    (job,) = worker.jobs
    worker.jobs.remove(job)
    assert worker.answer(job, unaccepted(job), now=7.0) == []
    (retry,) = worker.jobs
    assert (retry.id, len(retry.earlier), retry.deadline) == (job.id, 1, 7.0 + RETRY_DELAY_S)
    assert retry.closed_at == job.closed_at
    (final,) = worker.finish(retry)
    assert final.text == echo(job.utterance.samples).text


def test_an_answer_to_an_older_request_is_ignored():
    worker = Worker()
    worker.read(*spoken(loud(1), quiet(1)).records)
    (job,) = worker.jobs
    worker.jobs.remove(job)
    worker.answer(job, unaccepted(job))
    assert worker.answer(job, echo(loud(9))) == []
    (retry,) = worker.jobs
    (final,) = worker.finish(retry)
    assert final.text == echo(job.utterance.samples).text


# --- speech that a text leaves out


def one_word(seconds: float) -> Callable[[Job], Hypothesis]:
    """Transcribe any job as one word over its first `seconds`."""

    def write(job: Job) -> Hypothesis:
        word = TimedWord(f"w{job.utterance.start // 16_000}", 0.0, seconds, 0.9)
        return replace(echo(job.utterance.samples), text=word.text, words=(word,))

    return write


def lengths(jobs: list[Job]) -> list[float]:
    return [round(job.utterance.seconds, 1) for job in jobs]


def test_missing_speech_is_decoded_alone_and_inserted_in_its_place():
    worker = Worker(write=one_word(1.5))
    worker.read(*spoken(loud(5), quiet(1), options=StreamOptions(words=True)).records)
    (job,) = worker.jobs
    assert worker.finish(job, now=3.0) == []
    (part,) = worker.jobs
    assert (part.id, part.is_excerpt, part.request) == (job.id, True, job.request + 1)
    assert part.options.languages == ("en",)
    assert (part.utterance.start, part.utterance.end) == (24_000, job.utterance.end)
    assert part.deadline == job.deadline  # its final has waited already
    worker.finish(part)
    (nested,) = worker.jobs
    (final,) = worker.finish(nested)
    assert final.text == "w0 w1 w3"
    assert final.timing.decode_ms == 3 * 2


def test_the_number_of_excerpts_is_limited():
    worker = Worker(write=one_word(1.0))
    worker.read(*spoken(loud(14), quiet(1), options=StreamOptions(words=True)).records)
    decodes = 0
    while worker.jobs:
        decodes += 1
        worker.finish(worker.jobs[0])
    assert decodes == 1 + MAX_EXCERPTS
    assert len(worker.finals) == 1


def test_an_excerpt_is_decoded_once_even_if_it_is_not_accepted():
    worker = Worker(write=one_word(1.5))
    worker.read(*spoken(loud(4), quiet(1), options=StreamOptions(words=True)).records)
    worker.finish(worker.jobs[0])
    (part,) = worker.jobs
    worker.jobs.remove(part)
    (final,) = worker.answer(part, unaccepted(part))
    assert worker.jobs == []
    assert final.text == "w0"


@pytest.mark.parametrize(
    "options",
    [StreamOptions(words=True, task=Task.TRANSLATE), StreamOptions(words=False)],
    ids=["translated", "no word times"],
)
def test_translations_and_texts_without_word_times_are_not_filled(options: StreamOptions):
    def write(job: Job) -> Hypothesis:
        text = one_word(1.0)(job)
        return text if options.words else replace(text, words=None)

    worker = Worker(write=write)
    worker.read(*spoken(loud(4), quiet(1), options=options).records)
    worker.finish(worker.jobs[0])
    assert worker.jobs == []
    assert len(worker.finals) == 1


def test_an_interim_text_is_filled_only_once_it_becomes_the_final():
    worker = Worker(interim=EAGER, write=one_word(1.5))
    for record in spoken(loud(3), quiet(1), options=StreamOptions(words=True)).records:
        worker.read(record)
        for job in list(worker.interims):
            worker.finish(job)
    (part,) = worker.jobs
    assert part.is_excerpt
    (final,) = worker.finish(part)
    assert final.text == "w0 w1"


# --- any order and number of answers


def transcribe(job: Job) -> Hypothesis:
    """Return a text that may be unaccepted or incomplete, always the same for the same job."""
    chance = random.Random(f"{job.utterance.start} {job.utterance.end}")
    if not job.is_excerpt and len(job.earlier) < chance.choice([0, 0, 1, 2]):
        return unaccepted(job)
    covered = job.utterance.seconds - chance.choice([0.0, 0.0, 1.5])
    word = TimedWord("word", 0.0, max(0.1, covered), 0.9)
    return replace(echo(job.utterance.samples), text="word", words=(word,))


def published(utterances: int, seed: int | None) -> list[AnyEvent]:
    """Return the published events; with a seed, answers are shuffled, repeated and delayed."""
    worker = Worker(interim=EAGER, write=transcribe)
    chance, answered = random.Random(seed), list[Job]()
    parts = [part for _ in range(utterances) for part in (loud(2.4), quiet(0.8))]
    log = spoken(*parts, options=StreamOptions(words=True, partials=seed is not None))
    for record in log.records:
        worker.read(record)
        while seed is not None and (worker.jobs or worker.interims) and chance.random() < 0.3:
            job = chance.choice([*worker.jobs, *worker.interims])
            worker.finish(job)
            answered.append(job)
        if seed is not None and answered and chance.random() < 0.3:
            again = chance.choice(answered)
            worker.answer(again, transcribe(again))
        if seed is not None and chance.random() < 0.1:
            worker.step(started=[job.id for job in worker.jobs])
        if seed is not None and chance.random() < 0.1:
            worker.commit(progress=chance.random() < 0.5)
    worker.finish_all()
    worker.commit()
    assert worker.task.is_idle
    return worker.events


@given(utterances=st.integers(1, 4), seed=st.integers(0, 1 << 16))
@examples(60)
def test_finals_do_not_depend_on_the_order_and_number_of_answers(utterances: int, seed: int):
    shuffled, expected = published(utterances, seed), published(utterances, None)
    assert [without_timing(each) for each in sorted_by_stream(shuffled)] == [
        without_timing(each) for each in sorted_by_stream(expected)
    ]
    finals = [event for event in shuffled if isinstance(event, TranscriptFinal)]
    assert [final.utterance for final in finals] == list(range(utterances))
