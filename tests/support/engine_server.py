"""An engine server over an echo model, and jobs for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from builders import MODEL, OPTIONS, PARTITION, RATE

from consumer.clock import SystemClock
from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.scheduling.capacity import Budget
from consumer.core.scheduling.fold_audit import FoldAudit
from consumer.core.scheduling.jobs import Batch, Job, JobFailure, JobKind
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane, SessionKey, UtteranceId
from consumer.core.text.hypothesis import Hypothesis
from consumer.engine import protocol
from consumer.engine.local import LocalEngine
from consumer.engine.server import EngineServer
from consumer.interfaces import Engine, EngineInfo, EngineReport
from consumer.metrics import Metrics
from consumer.testing import echo
from schemas.transcript import Model

LANGUAGES = frozenset({"en", "zh"})


@dataclass
class GatedModel:
    """An echo model; `gate` holds batches back, `check` may raise."""

    check: Callable[[Job], object] = lambda _: None
    batches: list[Sequence[Job]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def transcribe(self, batch: Batch) -> list[Hypothesis | JobFailure]:
        self.batches.append(batch.jobs)
        await self.gate.wait()
        for job in batch.jobs:
            self.check(job)
        return [echo(job.utterance.samples) for job in batch.jobs]


def job(
    stream: str = "s",
    number: int = 0,
    samples: int = 1600,
    kind: JobKind = JobKind.FINAL,
    epoch: int = 1,
    deadline: float = 1e12,
) -> Job:
    utterance = Utterance(
        number=number,
        start=0,
        end=samples,
        speech_end=samples,
        rate=RATE,
        samples=np.arange(samples, dtype=np.int16),
        end_reason=EndReason.SILENCE,
        speech=Speech(1.0, 1.0, 1.0, (0.9, 1.0)),
    )
    id_ = UtteranceId(SessionKey(PARTITION, stream, "0-0"), number)
    return Job(id_, epoch, kind, Lane.LIVE, 0.0, deadline, utterance, OPTIONS)


def local_engine(model: GatedModel) -> LocalEngine:
    planner = Planner(Budget(positions=4096, rows=4))
    return LocalEngine(model, planner, SystemClock(), Metrics(), FoldAudit(0.0))


@asynccontextmanager
async def served(path: Path, model: GatedModel, name: Model = MODEL) -> AsyncIterator[LocalEngine]:
    """Serve at `path`; yield the engine. Leaving ends the server at once, as if it was killed."""
    ready, engine = asyncio.Event(), local_engine(model)
    welcome = protocol.Welcome(protocol.VERSION, EngineInfo(name, LANGUAGES))
    server = EngineServer(path, engine, welcome)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.run(asyncio.Event(), ready))
        await ready.wait()
        yield engine
        serving.cancel()


async def next_reports(engine: Engine, until: Callable[[EngineReport], bool]) -> EngineReport:
    """Return the next reports as one, up to the time when `until` holds for it."""
    merged = EngineReport()
    async with asyncio.timeout(30):
        while not until(merged):
            report = await engine.next_report()
            assert report is not None
            merged = EngineReport(
                [*merged.started, *report.started],
                [*merged.decodes, *report.decodes],
                [*merged.dropped, *report.dropped],
            )
    return merged


def texts(report: EngineReport) -> list[str]:
    """Return the texts, or the errors, in the order of the replies."""
    return [
        each.text.error if isinstance(each.text, JobFailure) else each.text.hypothesis.text
        for each in report.decodes
    ]
