"""What a process of its own costs the engine: two workers on one, beside one process.

The clips of a folder, as finals of files, eight in a batch at most. In turns: an engine in this
process, and `streamscribe engine` with two clients, each of which submits half of the clips. Both
do what they do in a worker: audio through shared memory, answers through a socket, one planner.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.checkpoints import requested_threads
from bench.engine.jobs import job
from bench.engine.speed import spread
from bench.framework import (
    Advance,
    BenchContext,
    Findings,
    add_decoding,
    add_numbers,
    machine,
)
from bench.quality.recordings import Recording, evenly, recordings
from consumer.core.audio.samples import from_float
from consumer.core.scheduling.jobs import Job, JobFailure
from consumer.core.streams.records import Lane
from consumer.engine.client import EngineClient
from consumer.engine.transcriber_thread import Transcriber
from consumer.engine_service import local_engine, transcriber_thread
from consumer.interfaces import Engine
from consumer.metrics import Metrics
from consumer.model_loading import load_transcriber
from consumer.settings import Settings, from_environment
from devstack.errors import DevstackError
from devstack.worker_process import WorkerProcess
from evaluation.report import Check, Figures, Sense
from transport.arguments import positive

MIN_SHARE: Final = 0.95  # of the speed of one process
_CLIENTS: Final = 2


@dataclass(frozen=True, slots=True)
class ProcessRuns:
    """RTFx of all rounds."""

    one_process: Sequence[float]
    engine_process: Sequence[float]

    @property
    def shares(self) -> list[float]:
        """The speed with an engine process as a share of that without, by round."""
        pairs = zip(self.engine_process, self.one_process, strict=True)
        return [apart / together for apart, together in pairs]

    def figures(self) -> Figures:
        return {
            **spread("one_process.rtfx", self.one_process),
            **spread("engine_process.rtfx", self.engine_process),
            **spread("engine_process.share", self.shares),
        }

    def checks(self) -> list[Check]:
        share = median(self.shares)
        return [Check("engine_process.share", share, MIN_SHARE, Sense.AT_LEAST)]


def arguments(parser: argparse.ArgumentParser) -> None:
    add_decoding(parser)
    parser.add_argument(
        "--clips", type=positive, metavar="N", help="of all languages, evenly taken (default: all)"
    )
    add_numbers(
        parser,
        ("batch", positive, 8, "most clips in a batch"),
        ("rounds", positive, 3, "of which medians are"),
    )


def run(context: BenchContext) -> Findings:
    asked, threads = context.arguments, requested_threads(context)
    values = {
        "model": asked.model,
        "dtype": asked.dtype,
        "batch_rows": str(asked.batch),
        "threads": str(threads),
        "fold_audit_share": "0",  # an idle engine would take time from the other
    }
    settings = from_environment({}, **values)
    transcriber = load_transcriber(settings)
    clips = evenly(recordings(asked.data, transcriber.languages), asked.clips)
    with context.progress(2 * asked.rounds) as advance:
        engines = _one_process(settings, transcriber), _engine_process(values)
        runs = asyncio.run(_measure(*engines, clips, asked.rounds, advance))
    model = transcriber.info
    return Findings(
        runs.figures(),
        runs.checks(),
        machine(model.dtype, threads, model=model.name, batch=asked.batch),
    )


async def _measure(
    one_process: AbstractAsyncContextManager[Engine],
    engine_process: AbstractAsyncContextManager[Sequence[Engine]],
    clips: Sequence[Recording],
    rounds: int,
    advance: Advance,
) -> ProcessRuns:
    together, apart = [], []
    async with one_process as engine, engine_process as clients:
        for engines in ([engine], clients):  # of the lengths that follow, before anything is timed
            await rtfx(engines, clips[: 2 * len(engines)])
        for _ in range(rounds):
            together.append(await rtfx([engine], clips))
            advance(1, "one process")
            apart.append(await rtfx(clients, clips))
            advance(1, "engine process")
    return ProcessRuns(together, apart)


@asynccontextmanager
async def _one_process(settings: Settings, transcriber: Transcriber) -> AsyncIterator[Engine]:
    async with transcriber_thread(settings, transcriber) as model:
        yield local_engine(settings, model, Metrics())


@asynccontextmanager
async def _engine_process(settings: Mapping[str, str]) -> AsyncIterator[Sequence[Engine]]:
    with tempfile.TemporaryDirectory(prefix="streamscribe-engine-") as folder:
        path, log = Path(folder) / "socket", Path(folder) / "log"
        own = {**settings, "engine": str(path)}
        clients = [EngineClient(path, Metrics()) for _ in range(_CLIENTS)]
        async with WorkerProcess(own, log, ("streamscribe", "engine")):
            for client in clients:
                await client.connect()
            first, second = clients
            async with first.running(), second.running():
                yield [*clients]


async def rtfx(engines: Sequence[Engine], clips: Sequence[Recording]) -> float:
    """Decode all clips, shared by the engines; return seconds of audio per second."""
    began = time.monotonic()
    jobs = [
        job(from_float(clip.samples), number, began, 0.0, lane=Lane.BULK, language=clip.language)
        for number, clip in enumerate(clips)
    ]
    async with asyncio.TaskGroup() as group:
        for number, engine in enumerate(engines):
            group.create_task(_decode(engine, jobs[number :: len(engines)]))
    return sum(clip.seconds for clip in clips) / (time.monotonic() - began)


async def _decode(engine: Engine, jobs: Sequence[Job]) -> None:
    engine.submit(jobs)
    left = len(jobs)
    while left:
        report = await engine.next_report()
        decodes = () if report is None else report.decodes
        if failed := [each for each in decodes if isinstance(each.text, JobFailure)]:
            raise DevstackError(f"{failed[0].job.id.session.stream_id}: {failed[0].text}")
        left -= len(decodes)
