"""The engine process and its workers: losses, limits, and peers that break the protocol."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from builders import MODEL
from engine_server import GatedModel, job, local_engine, next_reports, served, texts

from consumer.core.scheduling.jobs import Job, JobKind
from consumer.engine import protocol
from consumer.engine.client import EngineClient
from consumer.engine.protocol import Hello, Welcome
from consumer.engine.requests import MAX_LOSSES
from consumer.engine.server import EngineServer
from consumer.engine.shared_audio import AudioBlock, WrittenAudio
from consumer.errors import ConfigError, DeviceLost, SttError
from consumer.interfaces import EngineInfo
from consumer.metrics import Metrics

INFO = EngineInfo(MODEL, frozenset({"en"}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@asynccontextmanager
async def connected(path: Path, metrics: Metrics | None = None) -> AsyncIterator[EngineClient]:
    client = EngineClient(path, metrics or Metrics())
    await client.connect()
    async with client.running():
        yield client


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Contexts that outlive an engine."""
    async with AsyncExitStack() as contexts:
        yield contexts


@asynccontextmanager
async def answering(path: Path, answer: bytes) -> AsyncIterator[None]:
    """Listen at `path`, answer a connection with these bytes, and wait until the peer closes it."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with await asyncio.start_unix_server(serve, path):
        yield
        await closed.wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- the server has no event for it
            await asyncio.sleep(0)


def held_back() -> GatedModel:
    """Return a model that begins batches and does not end them."""
    model = GatedModel()
    model.gate.clear()
    return model


# --- a lost engine


async def test_what_a_lost_engine_has_not_answered_is_submitted_to_the_next(
    path: Path, stack: AsyncExitStack
) -> None:
    metrics, stuck, next_model = Metrics(), held_back(), GatedModel()
    async with served(path, stuck):
        client = await stack.enter_async_context(connected(path, metrics))
        jobs = [job(f"s{number}", samples=10 + number) for number in range(6)]
        client.submit(jobs)
        begun = await next_reports(client, lambda r: bool(r.started))
    async with served(path, next_model):
        client.submit([job("later", samples=99)])
        report = await next_reports(client, lambda r: len(r.decodes) == len(jobs) + 1)
    assert sorted(texts(report)) == sorted(f"{n} samples" for n in (*range(10, 16), 99))
    assert metrics.registry.get_sample_value("streamscribe_engine_losses_total") == 1
    isolated = {
        each.id.session.stream_id for batch in next_model.batches for each in batch if each.isolated
    }
    assert isolated == {each.id.session.stream_id for each in begun.started}


async def test_an_utterance_that_ends_every_engine_is_given_up_and_others_are_decoded(
    path: Path,
) -> None:
    def die(decoded: Job) -> None:
        if decoded.id.session.stream_id == "poison":
            raise DeviceLost("an assertion on the device")

    async def serve_again() -> None:
        while True:
            with pytest.raises(BaseExceptionGroup):
                async with served(path, GatedModel(check=die)):
                    await asyncio.Event().wait()

    metrics = Metrics()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve_again())
        async with connected(path, metrics) as client:
            client.submit([job("a", samples=1), job("poison"), job("b", samples=2)])
            report = await next_reports(client, lambda r: len(r.decodes) == 3)
        serving.cancel()
    assert sorted(texts(report)) == ["1 samples", "2 samples", "EngineLost"]
    losses = metrics.registry.get_sample_value("streamscribe_engine_losses_total")
    assert losses == MAX_LOSSES


async def test_no_interim_of_an_utterance_that_may_have_ended_an_engine_is_decoded(
    path: Path, stack: AsyncExitStack
) -> None:
    async with served(path, held_back()):
        client = await stack.enter_async_context(connected(path))
        interim = job(kind=JobKind.INTERIM)
        client.submit([interim])
        await next_reports(client, lambda r: bool(r.started))
    async with served(path, GatedModel()):
        report = await next_reports(client, lambda r: bool(r.dropped))
        assert list(report.dropped) == [interim]
        another = job(kind=JobKind.INTERIM)
        client.submit([another])
        report = await next_reports(client, lambda r: bool(r.dropped))
        assert list(report.dropped) == [another]
        client.submit([job(samples=5)])
        report = await next_reports(client, lambda r: bool(r.decodes))
        assert texts(report) == ["5 samples"]
        client.submit([interim])
        assert await next_reports(client, lambda r: bool(r.decodes)), "it is suspect no more"


async def test_a_stopped_engine_answers_its_batch_and_leaves_the_rest_to_the_next(
    path: Path, stack: AsyncExitStack
) -> None:
    first, second = held_back(), GatedModel()
    async with served(path, first) as engine:
        client = await stack.enter_async_context(connected(path))
        client.submit([job("a", samples=1)])
        await next_reports(client, lambda r: bool(r.started))
        client.submit([job("b", samples=2)])
        engine.stop()
        first.gate.set()
        report = await next_reports(client, lambda r: bool(r.decodes))
        assert texts(report) == ["1 samples"]
    async with served(path, second):
        report = await next_reports(client, lambda r: bool(r.decodes))
    assert texts(report) == ["2 samples"]
    assert not any(each.isolated for batch in second.batches for each in batch)


async def test_an_engine_with_another_model_ends_the_worker(path: Path) -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            async with served(path, GatedModel()):
                await stack.enter_async_context(connected(path))
            async with served(path, GatedModel(), replace(MODEL, name="other")):
                await asyncio.Event().wait()

    with pytest.raises(BaseExceptionGroup) as raised:
        await work()
    assert raised.group_contains(DeviceLost, match="another model")


async def test_a_silent_engine_is_lost(path: Path) -> None:
    async with answering(path, protocol.frame(Welcome(protocol.VERSION, INFO))):
        client = EngineClient(path, Metrics(), silent_s=0.05)
        assert await client.connect() == INFO
        await client.until_lost()
        await client.close()


# --- versions


async def test_peers_of_another_version_are_one_clear_error(path: Path) -> None:
    async with answering(path, protocol.frame(Welcome(protocol.VERSION + 1, INFO))):
        client = EngineClient(path, Metrics())
        with pytest.raises(SttError, match="another version"):
            await client.connect()
        await client.close()


async def test_a_worker_of_another_version_gets_the_version_of_the_engine(path: Path) -> None:
    async with served(path, GatedModel()):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(protocol.frame(Hello(protocol.VERSION + 1, 4096)))
        answer = protocol.engine_message(await protocol.read_payload(reader))
        assert isinstance(answer, Welcome)
        assert await reader.read() == b""
        writer.close()


async def test_what_is_no_engine_is_an_error(path: Path) -> None:
    async with answering(path, b"\0\0\0\3abc"):
        client = EngineClient(path, Metrics())
        with pytest.raises(SttError, match="not an engine of this version"):
            await client.connect()
        await client.close()


# --- limits


async def test_audio_beyond_the_shared_memory_waits_and_is_decoded_in_order(path: Path) -> None:
    async with served(path, GatedModel()):
        client = EngineClient(path, Metrics(), audio_bytes=8192)
        await client.connect()
        async with client.running():
            client.submit([job("s", number, samples=1000 + number) for number in range(20)])
            assert client.waiting_jobs() == 20
            report = await next_reports(client, lambda r: len(r.decodes) == 20)
    assert texts(report) == [f"{1000 + number} samples" for number in range(20)]


async def test_what_has_no_representation_is_a_failure_of_its_job_alone(path: Path) -> None:
    async with served(path, GatedModel()), connected(path) as client:
        broken = job("broken")
        client.submit([replace(broken, options=replace(broken.options, prompt="\ud800"))])
        client.submit([job("s", samples=4)])
        report = await next_reports(client, lambda r: len(r.decodes) == 2)
    assert texts(report) == ["ProtocolError", "4 samples"]


async def test_sessions_of_two_workers_are_two_sessions(path: Path) -> None:
    model = held_back()
    async with served(path, model), connected(path) as one, connected(path) as other:
        one.submit([job("x")])
        await next_reports(one, lambda r: bool(r.started))
        one.submit([job("s", kind=JobKind.INTERIM, samples=1)])
        other.submit([job("s", kind=JobKind.INTERIM, samples=2)])
        model.gate.set()
        assert texts(await next_reports(one, lambda r: len(r.decodes) == 2))[1] == "1 samples"
        assert texts(await next_reports(other, lambda r: bool(r.decodes))) == ["2 samples"]


async def test_the_jobs_of_a_worker_that_ends_are_dropped(path: Path) -> None:
    model = held_back()
    async with served(path, model) as engine, connected(path) as other:
        other.submit([job("under way")])
        await next_reports(other, lambda r: bool(r.started))
        async with connected(path) as ending:
            ending.submit([job(f"s{number}") for number in range(9)])
            await until(lambda: engine.waiting_jobs() == 9)
        await until(lambda: engine.waiting_jobs() == 0)
        other.submit([job("s", samples=3)])
        model.gate.set()
        report = await next_reports(other, lambda r: len(r.decodes) == 2)
        assert texts(report)[1] == "3 samples"
        decoded = {each.id.session.stream_id for batch in model.batches for each in batch}
        assert decoded == {"under way", "s"}


# --- peers that break the protocol


def hello(size: int = 4096) -> bytes:
    return protocol.frame(Hello(protocol.VERSION, size))


def outside() -> bytes:
    return protocol.frame(protocol.submitted(1, job(), AudioBlock(4000, 1600)))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"", id="HTTP"),
        pytest.param(hello(1 << 40), b"", id="huge memory"),
        pytest.param(hello(8192), b"", id="more memory than the file has"),
        pytest.param(hello(), b"\xff\xff\xff\xff", id="huge frame"),
        pytest.param(hello(), b"\0\0\0\1\xc1", id="no message"),
        pytest.param(hello(), hello(), id="a second Hello"),
        pytest.param(hello(), outside(), id="samples outside the memory"),
        pytest.param(hello(), b"\0\0", id="half a frame"),
    ],
)
async def test_a_peer_that_breaks_the_protocol_is_disconnected_and_others_are_served(
    path: Path, first: bytes, then: bytes
) -> None:
    audio = WrittenAudio(4096)
    async with served(path, GatedModel()), connected(path) as client:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            socket.send_fds(peer, [first], [audio.descriptor])
            reader, writer = await asyncio.open_unix_connection(sock=peer)
            writer.write(then)
            if then == b"\0\0":
                writer.write_eof()
            async with asyncio.timeout(30):
                await reader.read()
            writer.close()
        client.submit([job(samples=8)])
        assert texts(await next_reports(client, lambda r: bool(r.decodes))) == ["8 samples"]
    audio.close()


async def test_a_hello_without_a_descriptor_is_rejected(path: Path) -> None:
    async with served(path, GatedModel()):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(hello())
        async with asyncio.timeout(30):
            await reader.read()
        writer.close()


# --- the socket


async def error_of(path: Path) -> str:
    server = EngineServer(path, local_engine(GatedModel()), Welcome(protocol.VERSION, INFO))
    with pytest.raises(ConfigError) as raised:
        await server.run(asyncio.Event(), asyncio.Event())
    return str(raised.value)


async def test_only_the_user_may_connect_and_the_socket_is_removed(path: Path) -> None:
    async with served(path, GatedModel()):
        assert mode(path) == "srw-------"
    assert not names(path.parent)


async def test_the_socket_of_a_killed_engine_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    async with served(path, GatedModel()), connected(path) as client:
        client.submit([job(samples=8)])
        assert texts(await next_reports(client, lambda r: bool(r.decodes))) == ["8 samples"]


async def test_an_engine_that_listens_is_left_alone(path: Path) -> None:
    async with served(path, GatedModel()), connected(path) as client:
        assert "another engine listens" in await error_of(path)
        client.submit([job(samples=8)])
        assert texts(await next_reports(client, lambda r: bool(r.decodes))) == ["8 samples"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("file", "is no socket"),
        ("x" * 200, "cannot listen at"),
        ("missing/socket", "cannot listen at"),
    ],
)
async def test_a_path_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, name: str, problem: str
) -> None:
    (tmp_path / "file").write_text("kept")
    assert problem in await error_of(tmp_path / name)
    assert names(tmp_path) == ["file"]


def mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
