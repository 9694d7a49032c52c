from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from builders import PARTITION, Log, fresh, loud, policy, quiet
from partition_harness import Worker
from prometheus_client import generate_latest

from consumer.core.partition.commit import Outcome
from consumer.core.partition.partition import PartitionTask
from consumer.core.partition.step import Decode, Inputs, RejectedRecord
from consumer.core.scheduling.capacity import Budget
from consumer.core.scheduling.jobs import Batch
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane, Partition, Record
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.metrics import METRICS, Metrics
from consumer.testing import echo
from schemas.errors import Reason
from schemas.transcript import TranscriptFinal, Verdict


def page(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


def value(metrics: Metrics, sample: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"streamscribe_{sample}", labels)


def spoken() -> tuple[Batch, TranscriptFinal]:
    """Return the batch and the final of one second of speech."""
    log, worker = Log(), Worker()
    log.speak("s", loud(1), end=True)
    worker.read(*log.records)
    (job,) = worker.jobs
    decoded = TimedHypothesis(echo(job.utterance.samples), 40, 80, log.now_ms + 500)
    (final,) = worker.step(decodes=[Decode(job, decoded)]).finals
    return Batch((job,)), final


def test_gauges_show_partitions_streams_lag_and_waiting_speech():
    log, worker, metrics = Log(), Worker(), Metrics()
    log.speak("s", np.concatenate([loud(1), quiet(1), loud(0.5)]), end=False)
    worker.read(log.records[0])
    worker.commit()  # publishes the start of the stream
    worker.read(*log.records[1:])
    planner = Planner(Budget(positions=4096, rows=16))
    planner.add(worker.jobs)
    waiting_s = {lane: planner.waiting_s(lane) for lane in Lane}
    metrics.update_gauges([worker.task], waiting_s, 5.0, log.now_ms + 5_000)
    assert value(metrics, "partitions") == 1
    assert value(metrics, "streams") == 1
    assert lag(metrics, PARTITION) == pytest.approx(5.9)  # decided 0.9 s before the end
    assert value(metrics, "waiting_seconds", lane="live") == planner.waiting_s(Lane.LIVE) > 1
    assert value(metrics, "waiting_seconds", lane="bulk") == 0


def lag(metrics: Metrics, partition: Partition) -> float | None:
    return value(metrics, "lag_seconds", topic=partition.topic, partition=str(partition.number))


def test_lag_is_exposed_for_assigned_partitions_only():
    metrics = Metrics()
    partitions = [Partition(PARTITION.topic, number) for number in range(3)]
    tasks = [PartitionTask(partition, 1, policy(), fresh()) for partition in partitions]
    for task in tasks:
        record = RejectedRecord(Record(task.partition, 0, 1_000, b"s", b"", ()), None)
        task.step(Inputs(0.0, 1_000, records=[record], caught_up=task is tasks[0]))
    metrics.update_gauges(tasks, {}, 7.0, 8_000)
    assert lag(metrics, partitions[1]) == 7.0
    metrics.update_gauges(tasks[:1], {}, 9.0, 10_000)
    assert [lag(metrics, partition) is None for partition in partitions] == [False, True, True]


def test_every_metric_is_in_the_table_under_one_prefix():
    names = {spec.name for spec in METRICS}
    assert len(names) == len(METRICS)
    exposed = {re.split(r"[ {]", line)[2] for line in page(Metrics()) if line.startswith("# TYPE")}
    for spec in METRICS:
        counter = "_total" if spec.kind == "counter" else ""
        assert f"streamscribe_{spec.name}{counter}" in exposed


def test_metric_names_have_no_suffix_that_prometheus_adds():
    for spec in METRICS:
        assert not spec.name.endswith(("_total", "_count", "_ms"))
        assert spec.help.endswith(".")


def test_labels_are_a_fixed_set_without_values_from_publishers():
    assert {label for spec in METRICS for label in spec.labels} <= {
        "outcome",
        "verdict",
        "result",
        "lane",
        "reason",
        "topic",
        "partition",
        "stage",
    }


def test_a_metric_that_is_not_in_the_table_is_rejected():
    with pytest.raises(KeyError):
        Metrics().count("nonsense")


def test_a_label_that_is_not_in_the_table_is_rejected():
    with pytest.raises(ValueError, match="label"):
        Metrics().count("records", stream="call-7")


def test_records_are_counted_by_outcome():
    metrics = Metrics()
    for outcome in (Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.DUPLICATE):
        metrics.count("records", outcome=outcome)
    assert value(metrics, "records_total", outcome="accepted") == 2
    assert value(metrics, "records_total", outcome="duplicate") == 1


def test_a_batch_adds_its_audio_rows_and_time():
    metrics, (batch, _) = Metrics(), spoken()
    metrics.observe_batch(batch, 0.25)
    assert value(metrics, "audio_seconds_total") == 1.0
    assert value(metrics, "decode_seconds_total") == 0.25
    assert value(metrics, "batch_rows_bucket", le="1.0") == 1
    assert value(metrics, "batch_seconds_sum") == 0.25


def test_a_final_adds_its_verdict_and_latency():
    metrics, (_, final) = Metrics(), spoken()
    metrics.observe_final(final)
    assert value(metrics, "finals_total", verdict="accept") == 1
    assert value(metrics, "queue_seconds_sum") == 0.04
    assert value(metrics, "final_seconds_sum") == pytest.approx(0.5, abs=0.032)  # a window
    metrics.observe_final(replace(final, timing=replace(final.timing, speech_end_to_final_ms=None)))
    assert value(metrics, "final_seconds_count") == 1


def test_commits_are_counted_by_result():
    metrics = Metrics()
    worker = Worker()
    record = Record(PARTITION, 0, 0, b"s", b"", ())
    worker.step(records=[RejectedRecord(record, Reason.BAD_HEADER, "why")])
    commit = worker.commit()
    assert commit is not None
    metrics.observe_commit(commit, 0.5)
    assert value(metrics, "commits_total", result="made") == 1
    assert value(metrics, "dead_letters_total", reason="bad_header") == 1
    assert value(metrics, "commit_seconds_sum") == 0.5


def test_two_services_in_one_process_have_separate_metrics():
    one, two = Metrics(), Metrics()
    one.count("finals", verdict=Verdict.REVIEW)
    assert value(two, "finals_total", verdict="review") is None
