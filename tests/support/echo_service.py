"""The service of `offline` over the doubles of detector and model: a text is its length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from builders import INTERIM, policy

from consumer.clock import SystemClock
from consumer.core.scheduling.capacity import Backpressure, Budget
from consumer.core.scheduling.fold_audit import FoldAudit
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane
from consumer.engine.local import LocalEngine
from consumer.interfaces import Shells
from consumer.metrics import Metrics
from consumer.pipeline import Pipeline
from consumer.testing import EchoEngine, InlineCodecs, MemoryBroadcast
from offline.service import TIMEOUTS, OfflineService
from offline.shells import InputPartitions


def echo_pipeline(inputs: InputPartitions, engine: EchoEngine, queue_s: float) -> Pipeline:
    clock, metrics = SystemClock(), Metrics()
    planner = Planner(Budget(positions=4096, rows=16))
    return Pipeline(
        Shells(
            source=inputs,
            codecs=InlineCodecs(),
            detector=engine,
            engine=LocalEngine(engine, planner, clock, metrics, FoldAudit(0.0)),
            store=inputs,
            broadcast=MemoryBroadcast(),
            clock=clock,
        ),
        {lane: policy(lane, INTERIM) for lane in Lane},
        {lane: Backpressure(queue_s, queue_s / 2) for lane in Lane},
        timeouts=TIMEOUTS,
        metrics=metrics,
    )


@asynccontextmanager
async def echo_service(
    engine: EchoEngine | None = None, queue_s: float = 60.0
) -> AsyncIterator[OfflineService]:
    inputs = InputPartitions()
    service = OfflineService(inputs)
    async with asyncio.TaskGroup() as group:
        group.create_task(service.run(echo_pipeline(inputs, engine or EchoEngine(), queue_s)))
        yield service
        service.close()
