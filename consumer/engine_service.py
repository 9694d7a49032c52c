"""Wiring of the engine: in a worker, or in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import structlog

from consumer.clock import SystemClock
from consumer.core.scheduling.capacity import Budget, limited, measured_budget
from consumer.core.scheduling.fold_audit import FoldAudit
from consumer.core.scheduling.planner import Planner
from consumer.core.scheduling.thread_choice import ThreadChoice
from consumer.engine import protocol
from consumer.engine.local import LocalEngine
from consumer.engine.server import EngineServer
from consumer.engine.transcriber_thread import Transcriber, TranscriberThread
from consumer.health import Health
from consumer.inference import device
from consumer.interfaces import EngineInfo
from consumer.metrics import Metrics
from consumer.model_loading import load_transcriber
from consumer.settings import Settings

log = structlog.get_logger(__name__)


async def serve_engine(
    settings: Settings,
    stop: asyncio.Event,
    ready: asyncio.Event,
    load: Callable[[Settings], Transcriber] = load_transcriber,
) -> None:
    """Serve workers until `stop` is set and the batch under way is answered.

    Raises `ConfigError`, `DeviceLost`.
    """
    metrics = Metrics()
    async with Health(settings.http_host, settings.http_port, metrics) as health:
        log.info("health endpoints up", host=settings.http_host, port=health.port)
        health.waits_for("loading the model")
        transcriber = await asyncio.to_thread(load, settings)
        health.waits_for("warming the model")
        async with transcriber_thread(settings, transcriber) as model:
            engine = local_engine(settings, model, metrics)
            welcome = protocol.Welcome(protocol.VERSION, info_of(transcriber))
            server = EngineServer(Path(settings.engine), engine, welcome)
            async with asyncio.TaskGroup() as group:
                group.create_task(_report_ready(health, settings, ready))
                await server.run(stop, ready)
    log.info("stopped")


async def _report_ready(health: Health, settings: Settings, ready: asyncio.Event) -> None:
    await ready.wait()
    health.is_ready()
    log.info("ready", socket=settings.engine)


def transcriber_thread(settings: Settings, transcriber: Transcriber) -> TranscriberThread:
    """Return the model's thread, not started."""
    return TranscriberThread(
        transcriber, threads=_threads(settings), timeout_s=settings.engine_timeout_s
    )


def local_engine(settings: Settings, model: TranscriberThread, metrics: Metrics) -> LocalEngine:
    """Return an engine over a model that is warm."""
    planner = Planner(_budget(model), threads=ThreadChoice(_threads(settings)))
    audit = FoldAudit(settings.fold_audit_share)
    return LocalEngine(model, planner, SystemClock(), metrics, audit)


def _threads(settings: Settings) -> int:
    """Return the most threads of a matrix product."""
    return settings.threads or device.usable_cores()


def info_of(transcriber: Transcriber) -> EngineInfo:
    """Return what workers have to know of a model."""
    return EngineInfo(transcriber.info, transcriber.languages)


def _budget(model: TranscriberThread) -> Budget:
    """Return the batch budget measured at warm-up, within the limits of the model."""
    measured = measured_budget(*model.timings, rows=model.limits.rows)
    budget = limited(measured, model.limits, folded=model.info.fold)
    log.info("batch budget", **asdict(budget), timings=[asdict(t) for t in model.timings])
    return budget
