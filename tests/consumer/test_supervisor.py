"""The supervisor, over small processes; tests/test_engine_process.py has the real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from builders import MODEL

from consumer.engine import protocol
from consumer.errors import ConfigError
from consumer.interfaces import EngineInfo
from consumer.settings import Settings, from_environment
from consumer.supervisor import Child, Supervisor, children

# Write a line to the file at each start and at SIGTERM; then wait.
_PROCESS = """
import os, signal, sys, time
def note(text):
    with open(sys.argv[1], "a") as file: print(text, os.getpid(), file=file, flush=True)
def end(*_):
    note("drained")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("started")
{then}
while True: time.sleep(60)
"""


def process(path: Path, then: str = "", name: str = "worker 1") -> Child:
    return Child(name, (sys.executable, "-c", _PROCESS.format(then=then), str(path)), os.environ)


def lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 -- other processes write files
            await asyncio.sleep(0.02)


@pytest.fixture
async def stop() -> asyncio.Event:
    return asyncio.Event()


async def test_a_process_that_ends_is_started_again_and_all_are_drained(
    tmp_path: Path, stop: asyncio.Event
) -> None:
    engine, worker = tmp_path / "engine", tmp_path / "worker"
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = Supervisor(stop_within_s=30, first_pause_s=0.01).run(
            process(engine, name="engine"), [process(worker)], stop, ready
        )
        group.create_task(running)
        await until(lambda: len(lines(engine)) == len(lines(worker)) == 1)
        assert ready.is_set()
        os.kill(int(lines(worker)[0][1]), signal.SIGKILL)
        await until(lambda: len(lines(worker)) == 2)
        stop.set()
    assert [name for name, _ in lines(worker)] == ["started", "started", "drained"]
    assert [name for name, _ in lines(engine)] == ["started", "drained"]
    assert engine.stat().st_mtime_ns > worker.stat().st_mtime_ns, "the engine ends last"


async def test_a_process_that_rejects_its_settings_ends_all(
    tmp_path: Path, stop: asyncio.Event
) -> None:
    rejecting = process(tmp_path / "worker", then="sys.exit(2)")
    supervisor = Supervisor(stop_within_s=30, first_pause_s=0.01)
    with pytest.raises(BaseExceptionGroup) as raised:
        await supervisor.run(
            process(tmp_path / "engine", name="engine"), [rejecting], stop, asyncio.Event()
        )
    assert raised.group_contains(ConfigError, match="the worker 1 rejected its settings")
    for _, pid in lines(tmp_path / "engine"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


async def test_an_engine_that_is_lost_at_its_socket_is_killed_and_started_again(
    tmp_path: Path, stop: asyncio.Event
) -> None:
    connections = count(1)

    async def lose(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(connections)
        info = EngineInfo(MODEL, frozenset({"en"}))
        try:
            await until(lambda: stop.is_set() or len(lines(started)) >= number)
            writer.write(protocol.frame(protocol.Welcome(protocol.VERSION, info)))
        finally:  # the handler of the last connection may be cancelled while it waits
            writer.close()

    path, started = tmp_path / "socket", tmp_path / "engine"
    engine = replace(process(started, name="engine"), socket=path)
    async with await asyncio.start_unix_server(lose, path), asyncio.TaskGroup() as group:
        supervisor = Supervisor(stop_within_s=30, first_pause_s=0.01)
        worker = process(tmp_path / "worker")
        group.create_task(supervisor.run(engine, [worker], stop, asyncio.Event()))
        await until(lambda: len(lines(started)) >= 2 and bool(lines(tmp_path / "worker")))
        stop.set()
    assert len({pid for name, pid in lines(started) if name == "started"}) >= 2


async def test_a_process_that_does_not_drain_is_killed(tmp_path: Path, stop: asyncio.Event) -> None:
    stuck = process(tmp_path / "worker", then="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    async with asyncio.TaskGroup() as group:
        supervisor = Supervisor(stop_within_s=0.05, first_pause_s=0.01)
        engine = process(tmp_path / "engine", name="engine")
        group.create_task(supervisor.run(engine, [stuck], stop, asyncio.Event()))
        await until(lambda: bool(lines(tmp_path / "worker")) and bool(lines(tmp_path / "engine")))
        stop.set()
    assert [name for name, _ in lines(tmp_path / "worker")] == ["started"]


def test_children_have_the_settings_of_the_command_and_ports_of_their_own() -> None:
    settings = from_environment({}, ingest="2", http_port="9000", partials="true", model="base")
    engine, *workers = children(settings, Path("/run/x"), {"PATH": "/bin"})
    assert [child.name for child in (engine, *workers)] == ["engine", "worker 1", "worker 2"]
    for number, child in enumerate((engine, *workers)):
        assert child.environ["PATH"] == "/bin"
        own = from_environment(child.environ)
        assert (own.engine, own.ingest, own.http_port) == ("/run/x", 0, 9000 + number)
        assert (own.partials, own.model) == (True, "base")
    assert engine.command[-1] == "engine"
    assert {child.command[-1] for child in workers} == {"worker"}


def test_any_free_port_is_any_for_all() -> None:
    for child in children(Settings(ingest=1, http_port=0), Path("/run/x"), {}):
        assert child.environ["STREAMSCRIBE_HTTP_PORT"] == "0"
