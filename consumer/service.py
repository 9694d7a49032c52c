"""Wiring and lifetimes: the only module that imports all concrete classes.

health up -> topics checked -> model warm -> group joined -> ready -> (pipeline) -> drained
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial

import structlog

from consumer.chinese_conversion import converters
from consumer.codecs.reader import AudioRules, RecordReader
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.partition.interim import InterimPolicy
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.state import Restored
from consumer.core.partition.stream_admission import StreamLimits
from consumer.core.scheduling.capacity import Backpressure, BatchTiming, Budget, measured_budget
from consumer.core.scheduling.fold_audit import FoldAudit
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane, Partition
from consumer.core.streams.stream import StreamPolicy
from consumer.core.text.chinese import Orthography, Script
from consumer.core.text.events import FinalPolicy
from consumer.detection import cascade
from consumer.detection.detector_thread import DetectorThread, SpeechScorer
from consumer.engine.local import LocalEngine, Transcriber
from consumer.errors import ConfigError
from consumer.health import Health
from consumer.inference import device
from consumer.interfaces import Clock, Shells, Store, Timeouts
from consumer.kafka.broadcast import KafkaBroadcast
from consumer.kafka.errors import ignore_unretrieved_errors, translate_errors
from consumer.kafka.source import KafkaSource, SourceSettings
from consumer.kafka.store import KafkaStore
from consumer.metrics import Metrics
from consumer.model_loading import load_transcriber, warn_of_language
from consumer.pipeline import Pipeline
from consumer.settings import ChineseScript, Settings
from schemas.audio import AudioDefaults, StreamOptions, Task
from schemas.topics import Topics
from transport.cluster import check_topics
from transport.credentials import Credentials

log = structlog.get_logger(__name__)


class SystemClock(Clock):
    """`consumer.interfaces.Clock` over the clocks of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def unix_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Factories:
    """Constructors of the parts of a worker that tests and benches replace."""

    transcriber: Callable[[Settings], Transcriber] = load_transcriber
    ledger: Callable[[Partition, int, Restored], Ledger] = Ledger
    store: Callable[[Store], Store] = lambda store: store  # wraps the store in Kafka


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    ready: asyncio.Event,
    factories: Factories | None = None,
) -> None:
    """Serve until `stop` is set and everything in flight is published; set `ready` when serving.

    Raises `ConfigError` (nothing was started), `DeviceLost`, `TimeoutError` (the drain took too
    long; the next worker repeats the rest).
    """
    ignore_unretrieved_errors(asyncio.get_running_loop())
    metrics = Metrics()
    async with Health(settings.http_host, settings.http_port, metrics) as health:
        log.info("health endpoints up", host=settings.http_host, port=health.port)
        await _check(settings)
        worker = _Worker(settings, metrics, factories or Factories())
        health.waits_for("loading the model")
        await worker.load()
        health.waits_for("warming the model, joining the group")
        async with worker.connected() as pipeline:
            health.is_ready()
            ready.set()
            topics = worker.topics
            log.info("ready", group=settings.group, topics=[topics.audio, topics.audio_bulk])
            await pipeline.run(stop)
    log.info("stopped")


class _Worker:
    """The parts of one worker, created in the order in which they are needed."""

    def __init__(self, settings: Settings, metrics: Metrics, factories: Factories) -> None:
        self.topics = Topics(settings.prefix)
        self._settings = settings
        self._metrics = metrics
        self._factories = factories
        self._credentials = Credentials(settings)
        self._transcriber: Transcriber  # set by `load`, like the scorer
        self._scorer: SpeechScorer

    async def load(self) -> None:
        """Load the models. Raises `ConfigError`, `DeviceLost`."""
        self._transcriber = await asyncio.to_thread(self._factories.transcriber, self._settings)
        warn_of_language(self._settings, self._transcriber)
        self._scorer = await asyncio.to_thread(cascade.load, self._settings.detector)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Pipeline]:
        """Start the shells and join the group; yield the pipeline over them."""
        settings, metrics = self._settings, self._metrics
        threads = settings.threads or device.usable_cores()
        detector = DetectorThread(self._scorer)
        engine = LocalEngine(
            self._transcriber, threads=threads, timeout_s=settings.engine_timeout_s
        )
        source = KafkaSource(_source_settings(settings, self.topics), self._credentials)
        broadcast = KafkaBroadcast(settings.bootstrap, self._credentials, self.topics.partials)
        sandbox = CodecSandbox(partial(metrics.count, "decoder_crashes"))
        shells = Shells(
            source=source,
            codecs=RecordReader(sandbox, audio_rules(settings)),
            detector=detector,
            engine=engine,
            store=self._store(source),
            broadcast=broadcast,
            clock=SystemClock(),
        )
        # The detector first: threads that torch starts by itself use the number of threads that was
        # set last, which must be the model's.
        async with detector, engine, broadcast, source, sandbox, asyncio.TaskGroup() as group:
            watcher = group.create_task(self._credentials.watch(), name="watch secrets")
            yield self._pipeline(shells, engine.timings)
            watcher.cancel()

    def _store(self, source: KafkaSource) -> Store:
        settings = self._settings
        store = KafkaStore(
            settings.bootstrap,
            self._credentials,
            self.topics,
            settings.group,
            source,
            f"{socket.gethostname()}:{os.getpid()}",
        )
        return self._factories.store(store)

    def _pipeline(self, shells: Shells, timings: Sequence[BatchTiming]) -> Pipeline:
        settings = self._settings
        return Pipeline(
            shells,
            policies(settings, self._transcriber, self._scorer.segmenter),
            Planner(_budget(settings, timings)),
            _backpressure(settings),
            fold_audit=FoldAudit(settings.fold_audit_share),
            timeouts=_timeouts(settings),
            metrics=self._metrics,
            make_ledger=self._factories.ledger,
        )


async def _check(settings: Settings) -> None:
    """Check the topics. Raises `ConfigError` with all problems, `Retriable` without Kafka."""
    with translate_errors("checking the topics"):
        problems = await check_topics(
            settings.bootstrap, Topics(settings.prefix), security=settings
        )
    if problems:
        raise ConfigError(problems)


def policies(
    settings: Settings, transcriber: Transcriber, segmenter: SegmenterConfig
) -> dict[Lane, PartitionPolicy]:
    """Return the policy of each audio topic; they differ in lane and session prefix only."""
    options = StreamOptions(
        languages=settings.languages,
        task=Task.TRANSCRIBE,
        words=settings.words,
        partials=settings.partials,
        endpoint_ms=settings.endpoint_ms,
    )
    return {
        lane: PartitionPolicy(
            lane=lane,
            from_earliest=settings.start_at == "earliest",
            stream=StreamPolicy(segmenter, options, transcriber.languages, prefix),
            split_channels=settings.split_channels,
            model=transcriber.info,
            finals=FinalPolicy(orthography(settings.script), settings.publish_suppressed),
            interim=InterimPolicy(settings.partial_every_s, settings.eager),
            final_within_s=settings.final_within_s,
            limits=StreamLimits(settings.max_streams, settings.new_streams_per_s),
            stall_s=settings.stall_s,
            stall_in_speech_s=settings.stall_in_speech_s,
            idle_s=settings.idle_s,
        )
        for lane, prefix in ((Lane.LIVE, ""), (Lane.BULK, "b"))
    }


def audio_rules(settings: Settings) -> AudioRules:
    """Return the rules by which records are read."""
    defaults = AudioDefaults(settings.codec, settings.rate, settings.channels)
    return AudioRules(defaults, settings.split_channels)


def orthography(script: ChineseScript) -> Orthography:
    """Return how Chinese is written."""
    chosen = None if script is ChineseScript.ANY else Script(script)
    return Orthography(converters(), chosen)


def _source_settings(settings: Settings, topics: Topics) -> SourceSettings:
    return SourceSettings(
        bootstrap=settings.bootstrap,
        group=settings.group,
        topics={topics.audio: Lane.LIVE, topics.audio_bulk: Lane.BULK},
    )


def _budget(settings: Settings, timings: Sequence[BatchTiming]) -> Budget:
    """Return the batch budget measured at warm-up, with the positions of the settings if given."""
    budget = measured_budget(*timings, rows=settings.batch_rows)
    if settings.batch_positions:
        budget = replace(budget, positions=settings.batch_positions)
    log.info("batch budget", **asdict(budget), timings=[asdict(t) for t in timings])
    return budget


def _backpressure(settings: Settings) -> dict[Lane, Backpressure]:
    marks = {Lane.LIVE: settings.pause_above_s, Lane.BULK: settings.bulk_pause_above_s}
    return {lane: Backpressure(mark, mark / 2) for lane, mark in marks.items()}


def _timeouts(settings: Settings) -> Timeouts:
    return Timeouts(
        coalesce_s=settings.coalesce_s,
        progress_s=settings.progress_s,
        retry_s=1.0,
        halt_s=30.0,
        drain_s=settings.drain_s,
    )
