"""Wiring and lifetimes: the only module that imports all concrete classes.

health up -> topics checked, model loaded -> model warm -> group joined -> ready -> (pipeline) ->
drained
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from consumer.clock import SystemClock
from consumer.codecs.reader import RecordReader
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.state import Restored
from consumer.core.scheduling.capacity import Backpressure
from consumer.core.streams.records import Lane, Partition
from consumer.detection import cascade
from consumer.detection.detector_thread import DetectorThread, SpeechScorer
from consumer.engine.client import EngineClient
from consumer.engine.transcriber_thread import Transcriber, TranscriberThread
from consumer.engine_service import info_of, local_engine, transcriber_thread
from consumer.errors import ConfigError
from consumer.health import Health
from consumer.interfaces import Engine, EngineInfo, Shells, Store, Timeouts
from consumer.kafka.broadcast import KafkaBroadcast
from consumer.kafka.errors import ignore_unretrieved_errors, translate_errors
from consumer.kafka.source import KafkaSource, SourceSettings
from consumer.kafka.store import KafkaStore
from consumer.metrics import Metrics
from consumer.model_loading import load_transcriber, warn_of_language
from consumer.pipeline import Pipeline
from consumer.policies import audio_rules, policies
from consumer.settings import Settings
from schemas.topics import Topics
from transport.cluster import check_topics
from transport.credentials import Credentials

log = structlog.get_logger(__name__)


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
        worker = _Worker(settings, metrics, factories or Factories())
        health.waits_for("loading the model, checking the topics")
        async with asyncio.TaskGroup() as group:
            group.create_task(_check(settings), name="check the topics")
            group.create_task(worker.load(), name="load")
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
        self._model: TranscriberThread | EngineClient  # set by `load`, like the two below
        self._info: EngineInfo
        self._scorer: SpeechScorer

    async def load(self) -> None:
        """Load the models, or connect to the engine. Raises `ConfigError`, `DeviceLost`."""
        settings = self._settings
        if settings.engine:
            self._model = EngineClient(Path(settings.engine), self._metrics)
            self._info = await self._model.connect()
        else:
            transcriber = await asyncio.to_thread(self._factories.transcriber, settings)
            self._model = transcriber_thread(settings, transcriber)
            self._info = info_of(transcriber)
        warn_of_language(settings, self._info)
        self._scorer = await asyncio.to_thread(cascade.load, settings.detector)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Pipeline]:
        """Start the shells and join the group; yield the pipeline over them."""
        settings, metrics = self._settings, self._metrics
        detector = DetectorThread(self._scorer)
        source = KafkaSource(_source_settings(settings, self.topics), self._credentials)
        broadcast = KafkaBroadcast(settings.bootstrap, self._credentials, self.topics.partials)
        sandbox = CodecSandbox(partial(metrics.count, "decoder_crashes"))
        # The detector first: threads that torch starts by itself use the number of threads that was
        # set last, which must be the model's.
        async with (
            detector,
            self._engine() as engine,
            broadcast,
            source,
            sandbox,
            asyncio.TaskGroup() as group,
        ):
            watcher = group.create_task(self._credentials.watch(), name="watch secrets")
            shells = Shells(
                source=source,
                codecs=RecordReader(sandbox, audio_rules(settings)),
                detector=detector,
                engine=engine,
                store=self._store(source),
                broadcast=broadcast,
                clock=SystemClock(),
            )
            yield self._pipeline(shells)
            watcher.cancel()

    @asynccontextmanager
    async def _engine(self) -> AsyncIterator[Engine]:
        """Warm the model up, or keep the connection to the engine process."""
        if isinstance(self._model, EngineClient):
            async with self._model.running():
                yield self._model
        else:
            async with self._model as model:
                yield local_engine(self._settings, model, self._metrics)

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

    def _pipeline(self, shells: Shells) -> Pipeline:
        settings = self._settings
        return Pipeline(
            shells,
            policies(settings, self._info, self._scorer.segmenter),
            _backpressure(settings),
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


def _source_settings(settings: Settings, topics: Topics) -> SourceSettings:
    return SourceSettings(
        bootstrap=settings.bootstrap,
        group=settings.group,
        topics={topics.audio: Lane.LIVE, topics.audio_bulk: Lane.BULK},
    )


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
