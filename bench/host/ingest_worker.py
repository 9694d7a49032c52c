"""One worker's event loop over a log, without its waits: each call's time counts for its part."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.memory_records import MemoryRecords

from bench.host.looped_speech import POLL_MS, START_MS, SpeechLog, SpokenTexts
from bench.host.part_times import PartTimes
from consumer.codecs.reader import AudioRules
from consumer.core.audio.utterance import Float32Array
from consumer.core.partition.commit import Commit
from consumer.core.partition.partition import PartitionTask
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.state import PartitionState, Restored
from consumer.core.partition.step import Decode, DecodedRecord, Effects, Inputs, RejectedRecord
from consumer.core.scheduling.jobs import Job, JobKind
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Partition, Record
from consumer.core.text.fallback import is_accepted
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.core.text.quality import assess
from consumer.decode_window import DecodeWindow
from consumer.detection.detector_thread import SpeechScorer
from consumer.kafka.batches import parse_placeholder, split, unpacked
from consumer.kafka.source import record_of
from consumer.kafka.state_records import encode_states
from consumer.testing import InlineCodecs
from schemas.audio import AudioDefaults
from schemas.codec import encode_event

ScoreAll: TypeAlias = Callable[[Sequence[ScoreRequest]], Sequence[Float32Array]]

_PROGRESS_POLLS: Final = 5_000 // POLL_MS  # between two commits of the state of all streams
_PARTITION: Final = Partition("speech.audio.v1", 0)
_GROUP: Final = "bench"
_MARKER: Final = "unread"  # header of placeholders: there are none
_DECODE_MS: Final = 120  # as the finals state


class RecordedScores:
    """The detector's scores of the requests of a run; the next runs get the same ones."""

    def __init__(self, scorer: SpeechScorer) -> None:
        self._scorer = scorer
        self._calls: list[list[Float32Array]] = []
        self._next = 0

    def rewind(self) -> None:
        self._next = 0

    def of(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        if self._next == len(self._calls):
            self._calls.append(self._scored(requests))
        self._next += 1
        return self._calls[self._next - 1]

    def _scored(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        for request in requests:
            if request.vad.detector is None:
                request.vad.detector = self._scorer.open(request.rate, request.vad.lead_in)
        return self._scorer.score([(each.vad.detector, each.samples) for each in requests])


@dataclass(frozen=True, slots=True)
class IngestResult:
    """One run over the log."""

    seconds: Mapping[str, float]  # by step
    records: int
    finals: int
    partials: int
    words: int  # of the finals
    progress_commits: int


class IngestWorker:
    """A partition task and what is around it in the event loop, for one run."""

    def __init__(
        self, log: SpeechLog, policy: PartitionPolicy, texts: SpokenTexts, score: ScoreAll
    ) -> None:
        self._log = log
        self._policy = policy
        self._texts = texts
        self._score = score
        self._times = PartTimes()
        self._task = PartitionTask(_PARTITION, 1, policy, Restored(PartitionState(0, 0)))
        codecs = _TimedCodecs(self._times)
        self._window = DecodeWindow(codecs, _spawn_nothing, lambda: None)
        self._now_ms = START_MS
        self._waiting: list[Job] = []
        self._counts: Counter[str] = Counter()

    def run(self) -> IngestResult:
        for number, data in enumerate(self._log.polls):
            self._now_ms = START_MS + number * POLL_MS
            jobs, self._waiting = self._waiting, []
            self._poll(data)
            for job in jobs:
                self._answer(job)
            self._commit(progress=number % _PROGRESS_POLLS == 0)
        return IngestResult(self._times.seconds, **self._counts)

    def _poll(self, data: bytes) -> None:
        records = self._times.run("fetch", fetched, data)
        self._counts["records"] += len(records)
        self._times.run("window", self._window.push, records)
        requests: list[ScoreRequest] = []
        while taken := self._times.run("window", self._window.take, self._task):
            requests += self._step("order", records=taken).score_requests
        requests += self._step("tick", caught_up=True).score_requests
        while requests:
            scores = [*zip(requests, self._score(requests), strict=True)]
            requests = self._step("scores", scores=scores).score_requests

    def _step(self, part: str, **inputs: Any) -> Effects:
        now_s = (self._now_ms - START_MS) / 1000
        effects = self._times.run(part, self._task.step, Inputs(now_s, self._now_ms, **inputs))
        self._waiting += effects.submit
        return effects

    def _answer(self, job: Job) -> None:
        """Answer a job, but for likely finals."""
        is_final = job.kind is JobKind.FINAL
        if not is_final and self._is_likely_final(job):
            return
        text = self._texts.text_of(job)
        decoded = TimedHypothesis(text, 0, _DECODE_MS, self._now_ms)
        if not is_final:
            effects = self._step("partial", decodes=[Decode(job, decoded)])
            self._counts["partials"] += len(effects.broadcast)
            return
        self._times.run("acceptance", is_accepted, text)
        finals = self._step("settle", decodes=[Decode(job, decoded)]).finals
        self._counts["finals"] += len(finals)
        self._counts["words"] += sum(len(final.words or ()) for final in finals)
        self._times.run("assessment", assess, self._texts.text_of(job), job.utterance)

    def _is_likely_final(self, job: Job) -> bool:
        utterance = job.utterance
        quiet_ms = (utterance.end - utterance.speech_end) * 1000 / utterance.rate
        return quiet_ms >= self._policy.stream.segmenter.post_roll_ms

    def _commit(self, *, progress: bool) -> None:
        if not (progress or self._task.ledger.has_output):
            return
        part = "progress" if progress else "commit"
        self._counts["progress_commits"] += progress
        commit = self._times.run(part, self._task.prepare_commit, progress=progress)
        if commit is not None:
            self._times.run(part, _encode, commit)
            self._step(part, committed=commit)


class _TimedCodecs(InlineCodecs):
    """Codecs whose time counts for a part of its own."""

    def __init__(self, times: PartTimes) -> None:
        super().__init__(AudioRules(AudioDefaults()))
        self._times = times

    def read(self, record: Record) -> DecodedRecord | RejectedRecord:
        return self._times.run("read", super().read, record)


def fetched(data: bytes) -> list[Record]:
    """Return the records of a fetch response, as `FetchGuard`, aiokafka and the source do."""
    batches = MemoryRecords(b"".join(unpacked(batch) for batch in split(data)))
    records = PartitionRecords(TopicPartition(*_PARTITION), batches, [], 0, None, None, False, 0)
    unread = (parse_placeholder(record, _MARKER) or record_of(record) for record in records)
    return [each for each in unread if isinstance(each, Record)]


def _encode(commit: Commit) -> Sequence[object]:
    return [*map(encode_event, commit.events), *encode_states(_GROUP, commit)]


def _spawn_nothing(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    raise ValueError(f"{work} is a container: there are none in the log")
