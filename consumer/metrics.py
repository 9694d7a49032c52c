"""All metrics in one table. No label value comes from a publisher."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from consumer.core.partition.commit import Commit
from consumer.core.partition.partition import PartitionTask
from consumer.core.scheduling.jobs import Batch
from consumer.core.streams.records import Lane
from schemas.transcript import TranscriptFinal

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
ROWS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Spec:
    """The definition of one metric."""

    name: str  # without the prefix streamscribe_
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = SECONDS  # of a histogram


METRICS = (
    Spec("records", "counter", "Audio records read, by outcome.", ("outcome",)),
    Spec("finals", "counter", "Finals ready to be published, by verdict.", ("verdict",)),
    Spec("retries", "counter", "Texts of finals that were not accepted and were decoded again."),
    Spec(
        "retries_spared",
        "counter",
        "Texts of finals that were not accepted and were published: the engine had no room.",
    ),
    Spec("audio_seconds", "counter", "Seconds of speech in decoded batches."),
    Spec("decode_seconds", "counter", "Seconds in which the model decoded batches."),
    Spec("batch_rows", "histogram", "Utterances in a batch.", (), ROWS),
    Spec("batch_seconds", "histogram", "Time of a batch in the model."),
    Spec("queue_seconds", "histogram", "Time from the end of an utterance to its decode."),
    Spec("final_seconds", "histogram", "Time from the last speech sample to the final's text."),
    Spec(
        "fold_disagreement",
        "histogram",
        "Edits per character between the folded and the padded text of audited utterances.",
        (),
        SHARES,
    ),
    Spec("commit_seconds", "histogram", "Time of a commit."),
    Spec(
        "dead_letters",
        "counter",
        "Records and utterances sent to the dead-letter topic, by reason.",
        ("reason",),
    ),
    Spec(
        "batches_skipped", "counter", "Unreadable record batches skipped, by reason.", ("reason",)
    ),
    Spec(
        "decoder_crashes",
        "counter",
        "Codec processes that a record crashed or hung and that were replaced.",
    ),
    Spec(
        "decode_failures",
        "counter",
        "Decodes for which the model raised, and for no other utterance.",
    ),
    Spec(
        "contained_errors",
        "counter",
        "Unexpected exceptions, each contained to a stream or to a text, by stage.",
        ("stage",),
    ),
    Spec("halted", "gauge", "Partitions that wait for an operator; the log has the reason."),
    Spec(
        "behind_seconds",
        "gauge",
        "Append time from the oldest undecided audio to the newest record.",
    ),
    Spec(
        "lag_seconds",
        "gauge",
        "Append time since the oldest record not read or final not published; an open utterance "
        "does not count.",
        ("topic", "partition"),
    ),
    Spec("loop_lag_seconds", "gauge", "Delay of the event loop, measured every second."),
    Spec("commits", "counter", "Commits of a partition, by result.", ("result",)),
    Spec("waiting_seconds", "gauge", "Seconds of speech that wait for the model.", ("lane",)),
    Spec("partials", "counter", "Partials and utterance starts published."),
    Spec(
        "partials_dropped",
        "counter",
        "Interim decodes dropped: late, or superseded by a newer one or the final.",
    ),
    Spec("engine_losses", "counter", "Losses of the connection to the engine process."),
    Spec("partitions", "gauge", "Partitions served."),
    Spec("streams", "gauge", "Open streams."),
    Spec("ready", "gauge", "1 once the model is warm and the group is joined."),
)


class Metrics:
    """The metrics of the table, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._by_name = {spec.name: _make(spec, self.registry) for spec in METRICS}

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        metric = self._by_name[name]
        (metric.labels(**labels) if labels else metric).inc(amount)  # type: ignore[attr-defined]

    def observe(self, name: str, value: float) -> None:
        self._by_name[name].observe(value)  # type: ignore[attr-defined]

    def set(self, name: str, value: float, **labels: str) -> None:
        metric = self._by_name[name]
        (metric.labels(**labels) if labels else metric).set(value)  # type: ignore[attr-defined]

    def observe_batch(self, batch: Batch, decode_s: float) -> None:
        """Count a batch that the model has decoded."""
        self.count("audio_seconds", sum(job.utterance.seconds for job in batch.jobs))
        self.count("decode_seconds", decode_s)
        self.observe("batch_rows", len(batch.jobs))
        self.observe("batch_seconds", decode_s)

    def observe_final(self, event: TranscriptFinal) -> None:
        """Count a final and its latencies."""
        self.count("finals", verdict=event.quality.verdict)
        self.observe("queue_seconds", event.timing.queue_ms / 1000)
        if event.timing.speech_end_to_final_ms is not None:
            self.observe("final_seconds", event.timing.speech_end_to_final_ms / 1000)

    def observe_commit(self, commit: Commit, seconds: float) -> None:
        """Count a commit that was made, and its dead letters."""
        self.count("commits", result="made")
        for reason, letters in Counts(letter.reason for letter in commit.dead_letters).items():
            self.count("dead_letters", letters, reason=reason)
        self.observe("commit_seconds", seconds)

    def update_gauges(
        self,
        tasks: Collection[PartitionTask],
        waiting_s: Mapping[Lane, float],
        now: float,
        now_ms: int,
    ) -> None:
        """Update the gauges of partitions and lanes; `now`: monotonic, `now_ms`: Unix time."""
        self.set("partitions", len(tasks))
        self.set("streams", sum(task.streams for task in tasks))
        self.set("behind_seconds", max((task.behind_ms for task in tasks), default=0) / 1000)
        self._by_name["lag_seconds"].clear()  # of revoked partitions
        for task in tasks:
            topic, number = task.partition
            lag_s = task.lag_ms(now, now_ms) / 1000
            self.set("lag_seconds", lag_s, topic=topic, partition=str(number))
        for lane, seconds in waiting_s.items():
            self.set("waiting_seconds", seconds, lane=lane.name.lower())


def _make(spec: Spec, registry: CollectorRegistry) -> MetricWrapperBase:
    name = f"streamscribe_{spec.name}"
    if spec.kind == "histogram":
        return Histogram(name, spec.help, spec.labels, registry=registry, buckets=spec.buckets)
    kind: type[Counter | Gauge] = Counter if spec.kind == "counter" else Gauge
    return kind(name, spec.help, spec.labels, registry=registry)
