from __future__ import annotations

from collections import Counter

from engine_server import job
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.scheduling.jobs import Job, JobFailure, JobKind
from consumer.core.streams.records import Lane
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.engine.requests import LOST, MAX_LOSSES, MAX_SUSPECTS, RequestTable
from consumer.engine.shared_audio import WrittenAudio
from consumer.testing import echo

SIZE = 8192
TEXT = TimedHypothesis(echo(job().utterance.samples), 0, 0, 0)


class Engine:
    """A model of the peer: what it has, and has begun."""

    def __init__(self, requests: RequestTable) -> None:
        self.requests = requests
        self.waiting: list[int] = []
        self.started: list[int] = []
        self.sent: list[Job] = []

    def take(self) -> None:
        while (unsent := self.requests.next_unsent()) is not None:
            number, sent, _ = unsent
            self.waiting.append(number)
            self.sent.append(sent)

    def start(self, count: int) -> None:
        begun, self.waiting = self.waiting[:count], self.waiting[count:]
        self.started += begun
        self.requests.on_started(begun)

    def answer(self) -> None:
        for number in self.started:
            self.requests.on_answer(number, TEXT)
        self.started.clear()

    def drop(self, numbers: tuple[int, ...]) -> None:
        dropped = [number for number in numbers if number in self.waiting]
        self.waiting = [number for number in self.waiting if number not in dropped]
        self.requests.on_dropped(dropped)

    def die(self) -> list[Job]:
        self.waiting.clear()
        self.started.clear()
        return self.requests.on_lost()


STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(JobKind), st.integers(0, 3000)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("take")),
    st.tuples(st.just("start"), st.integers(1, 4)),
    st.tuples(st.just("answer")),
    st.tuples(st.just("die")),
)


@given(st.lists(STEPS, max_size=60))
def test_every_job_is_reported_once_unless_it_was_cancelled(steps: list[tuple[object, ...]]):
    audio = WrittenAudio(SIZE)
    requests = RequestTable(audio)
    engine = Engine(requests)
    jobs: list[Job] = []
    cancelled: set[Job] = set()
    decoded: list[Job] = []
    dropped: list[Job] = []

    def collect() -> None:
        report = requests.report()
        if report is not None:
            decoded.extend(each.job for each in report.decodes)
            dropped.extend(report.dropped)

    for name, *arguments in steps:
        match name, arguments:
            case "add", [kind, samples]:
                jobs.append(job("s", len(jobs), int(samples), JobKind(kind)))
                requests.add(jobs[-1])
            case "cancel", [number]:
                waiting = set(requests.waiting())
                hit = {each for each in waiting if each.id.utterance == number}
                cancelled |= hit
                engine.drop(requests.cancel(hit.__contains__))
            case "start", [count]:
                engine.start(int(count))
            case _:
                getattr(engine, str(name))()
        collect()
    while len(requests):
        engine.take()
        engine.start(100)
        engine.answer()
    collect()
    counts = Counter([*decoded, *dropped])
    assert all(count == 1 for count in counts.values())
    assert set(jobs) - cancelled <= set(counts) <= set(jobs)
    assert all(each.kind is JobKind.INTERIM for each in dropped)
    assert audio.is_empty
    audio.close()


def test_jobs_are_submitted_in_their_order_across_losses() -> None:
    audio = WrittenAudio(1 << 16)
    requests = RequestTable(audio)
    engine = Engine(requests)
    jobs = [job("s", number, samples=10) for number in range(5)]
    for each in jobs:
        requests.add(each)
    engine.take()
    engine.die()
    engine.take()
    assert [each.id for each in engine.sent] == 2 * [each.id for each in jobs]
    assert not any(each.isolated for each in engine.sent), "none had begun"
    audio.close()


def test_a_suspect_is_isolated_and_given_up_after_the_last_loss() -> None:
    audio = WrittenAudio(1 << 16)
    requests = RequestTable(audio)
    engine = Engine(requests)
    suspect = job(samples=10)
    requests.add(suspect)
    for losses in range(MAX_LOSSES):
        engine.take()
        assert engine.sent[-1].isolated == bool(losses)
        engine.start(1)
        given_up = engine.die()
    assert given_up == [suspect]
    report = requests.report()
    assert report is not None
    (reply,) = report.decodes
    assert (reply.job, reply.text) == (suspect, LOST)
    assert isinstance(reply.text, JobFailure)
    assert len(requests) == 0
    audio.close()


def test_the_number_of_suspects_is_bounded() -> None:
    audio = WrittenAudio(1 << 20)
    requests = RequestTable(audio)
    engine = Engine(requests)
    first, *others = (job("s", number, samples=1) for number in range(MAX_SUSPECTS + 1))
    for each in (first, *others):
        requests.add(each)
    engine.take()
    engine.start(MAX_SUSPECTS + 1)
    engine.die()
    engine.take()
    isolated = {each.id for each in engine.sent[MAX_SUSPECTS + 1 :] if each.isolated}
    assert isolated == {each.id for each in others}
    assert not list(requests.waiting(Lane.BULK))
    audio.close()
