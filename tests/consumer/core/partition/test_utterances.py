"""The owner of utterances: what an answer brings, in whatever order and however often it comes."""

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
from partition_harness import Worker, said, sorted_by_stream

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
ASKING = StreamOptions(partials=True)


def spoken(*parts: Int16Array, options: StreamOptions = StreamOptions()) -> Log:  # noqa: B008
    log = Log()
    log.speak("s", np.concatenate(parts), end=False, options=options)
    return log


def doubted(job: Job) -> Hypothesis:
    """A text of the job that is not accepted."""
    text = echo(job.utterance.samples)
    return replace(text, earlier=(*job.earlier, text))


# --- interim decodes


def test_a_beginning_is_published_once_and_only_where_partials_are_wanted():
    asking, other = Worker(), Worker()
    for worker, options in ((asking, ASKING), (other, StreamOptions())):
        for record in spoken(loud(1), options=options).records:
            worker.read(record)
    assert [type(event) for event in asking.broadcast] == [UtteranceStarted]
    assert other.broadcast == []


def test_the_text_of_what_seemed_to_end_is_the_finals_without_another_decode():
    worker = Worker(interim=EAGER)
    for record in spoken(loud(1), quiet(1)).records:
        worker.read(record)
        for job in list(worker.interims):
            worker.finish(job)
    assert worker.jobs == []
    (final,) = worker.finals
    assert final.timing.queue_ms == 0


def test_an_interim_text_of_the_final_that_waits_spares_its_decode():
    worker = Worker(interim=EAGER)
    worker.read(*spoken(loud(1), quiet(1), options=ASKING).records)
    (job,) = worker.jobs
    # As if it had been asked for just before the cut.
    interim = replace(job, kind=JobKind.INTERIM, request=0)
    (final,) = worker.answer(interim, echo(job.utterance.samples))
    assert worker.jobs == []  # it was cancelled
    assert final.text == echo(job.utterance.samples).text
    assert worker.answer(job, echo(job.utterance.samples)) == []


def test_an_interim_text_that_is_not_accepted_counts_as_an_attempt_of_the_final():
    worker = Worker(interim=EAGER)
    worker.read(*spoken(loud(1), quiet(1)).records)
    (job,) = worker.jobs
    worker.answer(replace(job, kind=JobKind.INTERIM, request=0), doubted(job), now=5.0)
    (retry,) = worker.jobs
    assert (len(retry.earlier), retry.deadline) == (1, 5.0 + RETRY_DELAY_S)


def test_an_interim_text_of_other_audio_than_the_final_is_not_published():
    worker = Worker()
    for record in spoken(loud(2), quiet(1), options=ASKING).records:
        worker.read(record)
    assert worker.jobs
    for job in list(worker.interims):
        worker.finish(job)
    assert not [event for event in worker.broadcast if isinstance(event, TranscriptPartial)]


def test_no_partial_comes_once_a_newer_utterance_of_the_stream_has_begun():
    worker = Worker()
    for record in spoken(loud(2), quiet(1), loud(1), options=ASKING).records:
        worker.read(record)
    first = [job for job in worker.interims if job.id.utterance == 0]
    (final,) = worker.jobs
    worker.finish(final)
    for job in first:
        worker.answer(job, echo(job.utterance.samples))
    assert [type(event) for event in worker.broadcast] == [UtteranceStarted, UtteranceStarted]


def test_a_text_that_would_not_be_published_makes_no_partial():
    worker = Worker(write=lambda job: replace(echo(job.utterance.samples), text="Thank you."))
    for record in spoken(loud(1), options=ASKING).records:
        worker.read(record)
    quiet_text = replace(
        echo(quiet(1)), text="Thank you.", no_speech_prob=0.99, avg_logprob=-1.5, tokens=(1, 2)
    )
    for job in worker.interims:
        worker.answer(job, quiet_text)
    assert [type(event) for event in worker.broadcast] == [UtteranceStarted]


# --- other attempts


def test_a_text_that_is_not_accepted_is_decoded_again_after_a_second():
    worker = Worker()
    worker.read(*spoken(loud(1), quiet(1)).records)
    (job,) = worker.jobs
    worker.jobs.remove(job)
    assert worker.answer(job, doubted(job), now=7.0) == []
    (retry,) = worker.jobs
    assert (retry.id, len(retry.earlier), retry.deadline) == (job.id, 1, 7.0 + RETRY_DELAY_S)
    assert retry.closed_at == job.closed_at
    (final,) = worker.finish(retry)
    assert final.text == echo(job.utterance.samples).text


def test_an_answer_to_an_older_request_is_late():
    worker = Worker()
    worker.read(*spoken(loud(1), quiet(1)).records)
    (job,) = worker.jobs
    worker.jobs.remove(job)
    worker.answer(job, doubted(job))
    assert worker.answer(job, echo(loud(9))) == []
    (retry,) = worker.jobs
    (final,) = worker.finish(retry)
    assert final.text == echo(job.utterance.samples).text


# --- speech that a text leaves out


def forgetful(seconds: float) -> Callable[[Job], Hypothesis]:
    """Writes one word, over the first `seconds` of whatever it is given."""

    def write(job: Job) -> Hypothesis:
        word = TimedWord(f"w{job.utterance.start // 16_000}", 0.0, seconds, 0.9)
        return replace(echo(job.utterance.samples), text=word.text, words=(word,))

    return write


def lengths(jobs: list[Job]) -> list[float]:
    return [round(job.utterance.seconds, 1) for job in jobs]


def test_what_a_text_leaves_out_is_decoded_by_itself_and_put_in_its_place():
    worker = Worker(write=forgetful(1.5))
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


def test_it_ends_where_a_text_never_covers_what_is_said():
    worker = Worker(write=forgetful(1.0))
    worker.read(*spoken(loud(14), quiet(1), options=StreamOptions(words=True)).records)
    decodes = 0
    while worker.jobs:
        decodes += 1
        worker.finish(worker.jobs[0])
    assert decodes == 1 + MAX_EXCERPTS
    assert len(worker.finals) == 1


def test_an_excerpt_is_decoded_once_whatever_comes_of_it():
    worker = Worker(write=forgetful(1.5))
    worker.read(*spoken(loud(4), quiet(1), options=StreamOptions(words=True)).records)
    worker.finish(worker.jobs[0])
    (part,) = worker.jobs
    worker.jobs.remove(part)
    (final,) = worker.answer(part, doubted(part))
    assert worker.jobs == []
    assert final.text == "w0"


@pytest.mark.parametrize(
    "options",
    [StreamOptions(words=True, task=Task.TRANSLATE), StreamOptions(words=False)],
    ids=["translated", "no word times"],
)
def test_where_it_cannot_be_told_nothing_is_decoded_again(options: StreamOptions):
    def write(job: Job) -> Hypothesis:
        text = forgetful(1.0)(job)
        return text if options.words else replace(text, words=None)

    worker = Worker(write=write)
    worker.read(*spoken(loud(4), quiet(1), options=options).records)
    worker.finish(worker.jobs[0])
    assert worker.jobs == []
    assert len(worker.finals) == 1


def test_an_interim_decode_is_not_filled_but_the_final_that_takes_its_text_is():
    worker = Worker(interim=EAGER, write=forgetful(1.5))
    for record in spoken(loud(3), quiet(1), options=StreamOptions(words=True)).records:
        worker.read(record)
        for job in list(worker.interims):
            worker.finish(job)
    (part,) = worker.jobs
    assert part.is_excerpt
    (final,) = worker.finish(part)
    assert final.text == "w0 w1"


# --- in whatever order, and however often


def as_it_is_heard(job: Job) -> Hypothesis:
    """Now and then doubted first, or with a stretch left out: always the same for the same job."""
    chance = random.Random(f"{job.utterance.start} {job.utterance.end}")
    if not job.is_excerpt and len(job.earlier) < chance.choice([0, 0, 1, 2]):
        return doubted(job)
    covered = job.utterance.seconds - chance.choice([0.0, 0.0, 1.5])
    word = TimedWord("word", 0.0, max(0.1, covered), 0.9)
    return replace(echo(job.utterance.samples), text="word", words=(word,))


def published(utterances: int, seed: int | None) -> list[AnyEvent]:
    """What comes of these utterances; `seed`: replies are shuffled, doubled and some made late."""
    worker = Worker(interim=EAGER, write=as_it_is_heard)
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
            worker.answer(again, as_it_is_heard(again))
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
def test_the_order_and_number_of_replies_change_no_final(utterances: int, seed: int):
    told, expected = published(utterances, seed), published(utterances, None)
    assert [said(each) for each in sorted_by_stream(told)] == [
        said(each) for each in sorted_by_stream(expected)
    ]
    finals = [event for event in told if isinstance(event, TranscriptFinal)]
    assert [final.utterance for final in finals] == list(range(utterances))
