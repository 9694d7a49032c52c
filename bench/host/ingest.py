"""The event loop: its cost of a record, from fetched bytes, and of a final, up to its commit."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import Final

from bench.framework import Advance, add_numbers
from bench.host.host_part import PartFindings
from bench.host.ingest_worker import IngestResult, IngestWorker, RecordedScores
from bench.host.looped_speech import SpokenTexts, speech_log
from bench.host.part_times import least
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.streams.records import Lane
from consumer.detection import cascade
from consumer.inference.device import set_threads
from consumer.interfaces import EngineInfo
from consumer.policies import policies
from consumer.settings import Detector, Settings
from evaluation.report import Check, Figures
from schemas.languages import WHISPER_CODES
from schemas.transcript import Model
from transport.arguments import positive

RECORD_STEPS: Final = ("fetch", "window", "read", "order", "scores", "tick")
FINAL_STEPS: Final = ("acceptance", "settle", "commit")
RECORD_MS, FINAL_MS = 0.10, 1.0  # targets, on one core with AVX2


def arguments(parser: ArgumentParser) -> None:
    add_numbers(
        parser,
        ("streams", positive, 16, "of live speech, for ingest"),
        ("seconds", positive, 30, "of audio of each"),
        ("rounds", positive, 5, "over the log; the least time of each step counts"),
    )


def measure(given: Namespace, advance: Advance) -> PartFindings:
    results = []
    for number, result in zip(range(given.rounds), _rounds(given), strict=False):
        results.append(result)
        advance(1 / given.rounds, f"ingest, round {number + 1}")
    found = figures(results)
    return PartFindings(found, checks(found))


def figures(results: Sequence[IngestResult]) -> Figures:
    """Return the least cost of a record, a final and a partial, by step."""
    counted, seconds = results[0], least(result.seconds for result in results)
    found = _costs("record", RECORD_STEPS, seconds, counted.records)
    found |= _costs("final", FINAL_STEPS, seconds, counted.finals)
    found["final: assessment_us, in settle"] = _us(seconds["assessment"], counted.finals)
    found["partial: all_ms"] = _us(seconds["partial"], counted.partials) / 1000
    found["progress commit: all_ms"] = _us(seconds["progress"], counted.progress_commits) / 1000
    found |= {
        "log: records": counted.records,
        "log: finals": counted.finals,
        "log: words": counted.words,
        "log: partials": counted.partials,
    }
    return found


def checks(found: Figures) -> list[Check]:
    """Return the targets, which depend on the machine."""
    limits = {"record: all_ms": RECORD_MS, "final: all_ms": FINAL_MS}
    return [
        Check(f"ingest: {name}", float(found[name] or 0), limit, required=False)
        for name, limit in limits.items()
    ]


def _costs(prefix: str, steps: Sequence[str], seconds: dict[str, float], count: int) -> Figures:
    found: Figures = {f"{prefix}: {step}_us": _us(seconds[step], count) for step in steps}
    total = sum(seconds[step] for step in steps)
    return found | {f"{prefix}: all_ms": _us(total, count) / 1000}


def _us(seconds: float, count: int) -> float:
    return round(1e6 * seconds / max(1, count), 1)


def _rounds(given: Namespace) -> Iterator[IngestResult]:
    set_threads(1)  # the detector's products are too small to be split
    log = speech_log(given.data, given.streams, given.seconds)
    scorer = cascade.load(Detector.CASCADE)
    texts, scores = SpokenTexts(log.clips), RecordedScores(scorer)
    while True:
        scores.rewind()
        yield IngestWorker(log, live_policy(scorer.segmenter), texts, scores.of).run()


_INFO: Final = EngineInfo(Model("none", "0" * 64, "float32", fold=True), frozenset(WHISPER_CODES))


def live_policy(segmenter: SegmenterConfig) -> PartitionPolicy:
    """Return the policy of a worker with default settings."""
    return policies(Settings(), _INFO, segmenter)[Lane.LIVE]
