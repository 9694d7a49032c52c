"""Wiring and lifetimes: the only file that knows all concrete classes.

health up -> topics checked -> model warm -> group joined -> ready -> (pipeline) -> drained
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial

import structlog
from rich.console import Console

from consumer.chinese_conversion import converters
from consumer.codecs.reader import AudioRules, RecordReader
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.partition.interim import InterimPolicy
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.stream_admission import StreamLimits
from consumer.core.scheduling.capacity import Backpressure, Budget, measured_budget
from consumer.core.scheduling.fold_audit import FoldAudit
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane
from consumer.core.streams.stream import StreamPolicy
from consumer.core.text.chinese import Orthography, Script
from consumer.core.text.events import FinalPolicy
from consumer.detection import cascade
from consumer.detection.detector_thread import DetectorThread
from consumer.engine.local import LocalEngine, Transcriber
from consumer.errors import ConfigError
from consumer.health import Health
from consumer.inference import checkpoint, device
from consumer.inference.whisper_engine import WhisperTranscriber
from consumer.interfaces import Clock, Shells, Timeouts
from consumer.kafka.broadcast import KafkaBroadcast
from consumer.kafka.errors import ignore_unretrieved_errors, translate_errors
from consumer.kafka.source import KafkaSource, SourceSettings
from consumer.kafka.store import KafkaStore
from consumer.metrics import Metrics
from consumer.pipeline import Pipeline
from consumer.settings import ChineseScript, FoldMode, Settings
from schemas.audio import AudioDefaults, StreamOptions, Task
from schemas.languages import whisper_code
from schemas.topics import Topics
from transport.cluster import check_topics
from transport.credentials import Credentials
from weights import fold_record
from weights.errors import WeightsError
from weights.resolve import Resolved, resolve_here

log = structlog.get_logger(__name__)


class SystemClock(Clock):
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def unix_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    ready: asyncio.Event,
    *,
    load: Callable[[Settings], Transcriber] | None = None,
) -> None:
    """Work until `stop` is set and what was in flight is out; sets `ready` once it works.

    `load`: another transcriber than Whisper.

    Raises `ConfigError` (nothing was started), `DeviceLost`, `TimeoutError` (the drain took too
    long: what is left is done again by the next worker).
    """
    ignore_unretrieved_errors(asyncio.get_running_loop())
    metrics = Metrics()
    topics = Topics(settings.prefix)
    async with Health(settings.http_host, settings.http_port, metrics) as health:
        log.info("health endpoints up", host=settings.http_host, port=health.port)
        await _check(settings, topics)
        credentials = Credentials(settings)
        health.waits_for("loading the model")
        transcriber = await asyncio.to_thread(load or load_transcriber, settings)
        _warn_of_language(settings, transcriber)
        scorer = await asyncio.to_thread(cascade.load, settings.detector)
        threads = settings.threads or device.usable_cores()
        detector = DetectorThread(scorer)
        engine = LocalEngine(transcriber, threads=threads, timeout_s=settings.engine_timeout_s)
        source = KafkaSource(_source_settings(settings, topics), credentials)
        store = KafkaStore(
            settings.bootstrap, credentials, topics, settings.group, source, _worker_name()
        )
        broadcast = KafkaBroadcast(settings.bootstrap, credentials, topics.partials)
        health.waits_for("warming the model, joining the group")
        sandbox = CodecSandbox(partial(metrics.count, "decoder_crashes"))
        codecs = RecordReader(sandbox, audio_rules(settings))
        # The detector first: threads that torch starts itself take over the number of threads that
        # was asked for last, and that has to be the model's.
        async with detector, engine, broadcast, source, sandbox, asyncio.TaskGroup() as group:
            watcher = group.create_task(credentials.watch(), name="watch secrets")
            pipeline = Pipeline(
                Shells(source, codecs, detector, engine, store, broadcast, SystemClock()),
                policies(settings, transcriber, scorer.segmenter),
                Planner(_budget(settings, engine)),
                _backpressure(settings),
                fold_audit=FoldAudit(settings.fold_audit_share),
                timeouts=_timeouts(settings),
                metrics=metrics,
            )
            health.is_ready()
            ready.set()
            log.info("ready", group=settings.group, topics=[topics.audio, topics.audio_bulk])
            await pipeline.run(stop)
            watcher.cancel()
    log.info("stopped")


async def _check(settings: Settings, topics: Topics) -> None:
    """Raises `ConfigError` with all that is wrong with the topics, `Retriable` without Kafka."""
    with translate_errors("checking the topics"):
        problems = await check_topics(settings.bootstrap, topics, security=settings)
    if problems:
        raise ConfigError(problems)


def load_transcriber(settings: Settings) -> Transcriber:
    """The model on its device; blocks for seconds. Raises `ConfigError`, `DeviceLost`."""
    chosen = device.choose(settings.device, settings.dtype)
    with _weights_errors():
        found = resolve_here(
            settings.model or chosen.default_model, os.environ, Console(stderr=True)
        )
        fold = may_fold(settings.fold, found)
    log.info(
        "model loading",
        device=chosen.describe(),
        model=found.name,
        sha256=found.sha256,
        fold=settings.fold,
    )
    loaded = checkpoint.load(found.path, sha256=found.sha256)
    with device.device_errors():
        return WhisperTranscriber(loaded, chosen, fold=fold)


@contextmanager
def _weights_errors() -> Iterator[None]:
    try:
        yield
    except WeightsError as error:
        raise ConfigError(str(error)) from error


def may_fold(mode: FoldMode, found: Resolved) -> bool:
    """Whether these weights are folded; says why not, and how to change it."""
    if mode is not FoldMode.AUTO:
        return mode is FoldMode.ON
    record = fold_record.find(found.sha256, os.environ)
    if record is None or not record.passed:
        log.warning(
            "decoding padded, at several times the cost",
            error="folding was never checked" if record is None else "the check of folding failed",
            model=found.name,
            action=f"python -m bench fold --model {found.path} --data DIR",
        )
    return record is not None and record.passed


def _warn_of_language(settings: Settings, transcriber: Transcriber) -> None:
    """Of streams that do not say: what a stream asks for itself, it is told itself."""
    lacking = [tag for tag in settings.languages if whisper_code(tag) not in transcriber.languages]
    if lacking:
        log.warning(
            "model lacks the default language",
            languages=lacking,
            model=transcriber.info.name,
            action="set STREAMSCRIBE_LANGUAGE to a language it knows or auto, or use another model",
        )


def policies(
    settings: Settings, transcriber: Transcriber, segmenter: SegmenterConfig
) -> dict[Lane, PartitionPolicy]:
    """Return what applies to each audio topic; they differ in urgency alone."""
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
            idle_s=settings.idle_s,
        )
        for lane, prefix in ((Lane.LIVE, ""), (Lane.BULK, "b"))
    }


def audio_rules(settings: Settings) -> AudioRules:
    """Return how records are read."""
    defaults = AudioDefaults(settings.codec, settings.rate, settings.channels)
    return AudioRules(defaults, settings.split_channels)


def orthography(script: ChineseScript) -> Orthography:
    """How Chinese is written."""
    chosen = None if script is ChineseScript.ANY else Script(script)
    return Orthography(converters(), chosen)


def _source_settings(settings: Settings, topics: Topics) -> SourceSettings:
    return SourceSettings(
        bootstrap=settings.bootstrap,
        group=settings.group,
        topics={topics.audio: Lane.LIVE, topics.audio_bulk: Lane.BULK},
    )


def _budget(settings: Settings, engine: LocalEngine) -> Budget:
    """As measured at warm-up, unless it is set."""
    budget = measured_budget(*engine.timings, rows=settings.batch_rows)
    if settings.batch_positions:
        budget = replace(budget, positions=settings.batch_positions)
    log.info("batch budget", **asdict(budget), timings=[asdict(t) for t in engine.timings])
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


def _worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
