"""The contract of `consumer.interfaces.Engine`, for the engine in this process and the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from builders import PARTITION
from engine_server import GatedModel, job, local_engine, next_reports, served, texts

from consumer.core.scheduling.jobs import JobKind
from consumer.core.streams.records import Lane
from consumer.engine.client import EngineClient
from consumer.interfaces import Engine
from consumer.metrics import Metrics


@pytest.fixture
async def model() -> GatedModel:
    return GatedModel()


@pytest.fixture(params=["local", "client"])
async def engine(
    request: pytest.FixtureRequest, model: GatedModel, tmp_path: Path
) -> AsyncIterator[Engine]:
    if request.param == "local":
        yield local_engine(model)
        return
    async with served(tmp_path / "socket", model):
        client = EngineClient(tmp_path / "socket", Metrics())
        await client.connect()
        async with client.running():
            yield client


async def test_every_job_is_started_and_gets_its_own_text(engine: Engine) -> None:
    jobs = [job(f"s{n}", samples=1600 + n) for n in range(6)]
    engine.submit(jobs)
    report = await next_reports(engine, lambda r: len(r.decodes) == len(jobs))
    assert {id(each) for each in report.started} == {id(each) for each in jobs}
    replies = zip((each.job for each in report.decodes), texts(report), strict=True)
    assert sorted(replies, key=lambda reply: reply[1]) == [
        (each, f"{len(each.utterance.samples)} samples") for each in jobs
    ]


async def test_what_waits_is_counted_by_lane_until_its_decode_begins(
    engine: Engine, model: GatedModel
) -> None:
    model.gate.clear()
    first, second = job(samples=16_000), job(number=1, samples=8_000)
    engine.submit([first])
    assert engine.waiting_s(Lane.LIVE) == 1
    await next_reports(engine, lambda r: list(r.started) == [first])
    engine.submit([second])
    assert (engine.waiting_jobs(), engine.waiting_s(Lane.LIVE)) == (1, 0.5)
    assert engine.waiting_s(Lane.BULK) == 0
    model.gate.set()
    await next_reports(engine, lambda r: len(r.decodes) == 2)
    assert engine.waiting_jobs() == 0


async def test_a_cancelled_final_and_stale_jobs_get_no_reply(
    engine: Engine, model: GatedModel
) -> None:
    model.gate.clear()
    under_way = job("a")
    engine.submit([under_way])
    await next_reports(engine, lambda r: bool(r.started))
    cancelled, stale, kept = job("b", 1), job("c", 2, epoch=0), job("d", 3, samples=3)
    engine.submit([cancelled, stale, kept])
    engine.cancel(cancelled.id)
    engine.discard_stale({PARTITION: 1})
    assert engine.waiting_jobs() == 1
    model.gate.set()
    engine.drain()
    report = await next_reports(engine, lambda r: len(r.decodes) == 2)
    assert texts(report) == ["1600 samples", "3 samples"]
    assert await engine.next_report() is None


async def test_cancel_leaves_the_interim_of_the_utterance(
    engine: Engine, model: GatedModel
) -> None:
    interim = job(kind=JobKind.INTERIM)
    engine.submit([interim])
    engine.cancel(interim.id)
    report = await next_reports(engine, lambda r: bool(r.decodes))
    assert report.decodes[0].job is interim


async def test_superseded_and_late_interims_are_dropped(engine: Engine, model: GatedModel) -> None:
    model.gate.clear()
    engine.submit([job("a")])
    await next_reports(engine, lambda r: bool(r.started))
    older, newer = (job("b", kind=JobKind.INTERIM) for _ in range(2))
    late = job("c", kind=JobKind.INTERIM, deadline=0.0)
    engine.submit([older])
    engine.submit([newer, late])
    model.gate.set()
    report = await next_reports(engine, lambda r: len(r.decodes) == 2 and len(r.dropped) == 2)
    assert {id(each) for each in report.dropped} == {id(older), id(late)}


async def test_a_drained_engine_ends_after_the_jobs_that_replies_cause(engine: Engine) -> None:
    engine.submit([job(samples=1)])
    engine.drain()
    first = await next_reports(engine, lambda r: bool(r.decodes))
    engine.submit([job(number=1, samples=2)])
    second = await next_reports(engine, lambda r: bool(r.decodes))
    assert texts(first) + texts(second) == ["1 samples", "2 samples"]
    assert await engine.next_report() is None


async def test_next_report_waits_for_a_job(engine: Engine) -> None:
    reporting = asyncio.ensure_future(engine.next_report())
    await asyncio.sleep(0)
    assert not reporting.done()
    engine.submit([job()])
    assert await reporting is not None
