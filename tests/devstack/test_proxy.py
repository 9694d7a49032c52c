from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from hypothesis import given
from hypothesis import strategies as st

from devstack.kafka import LocalKafka
from devstack.ports import HOST, free_ports
from devstack.proxy import Direction, Link, Proxy, Requests, Route

METADATA, END_TXN = 3, 26


def request(api_key: int, body: bytes = b"") -> bytes:
    return struct.pack(">ih", 2 + len(body), api_key) + body


@given(
    st.lists(st.tuples(st.integers(0, 90), st.binary(max_size=40))),
    st.lists(st.integers(0, 200)),
)
def test_requests_are_parsed_from_any_chunks(
    sent: list[tuple[int, bytes]], boundaries: list[int]
) -> None:
    data = b"".join(request(key, body) for key, body in sent)
    edges = [0, *sorted(min(boundary, len(data)) for boundary in boundaries), len(data)]
    requests = Requests()
    keys = [key for a, b in pairwise(edges) for key in requests.push(data[a:b])]
    assert keys == [key for key, _ in sent]


class Echo:
    """A server that returns everything it receives."""

    def __init__(self) -> None:
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                self.received += data
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    advertised, listener = free_ports(2)
    server = await asyncio.start_server(echo.serve, HOST, listener)
    async with Proxy(Route(advertised, listener)) as proxy:
        yield proxy
    server.close()
    await server.wait_closed()


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(HOST, proxy.route.advertised)


async def test_data_is_forwarded_in_both_directions(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert proxy.connections == 1
    writer.close()
    assert await reader.read() == b""


async def test_a_reset_ends_both_sides_and_allows_new_connections(proxy: Proxy) -> None:
    reader, writer = await connect(proxy)
    writer.write(b"x")
    await reader.readexactly(1)
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    assert proxy.resets == 2
    writer.close()
    reader, writer = await connect(proxy)
    writer.write(b"again")
    assert await reader.readexactly(5) == b"again"
    writer.close()


async def test_refused_connections_are_reset_until_heal(proxy: Proxy) -> None:
    proxy.refuse()
    reader, writer = await connect(proxy)
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    proxy.heal()
    reader, writer = await connect(proxy)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    writer.close()


@pytest.mark.parametrize(("direction", "received"), [(Direction.UP, b"1"), (Direction.DOWN, b"12")])
async def test_held_data_is_forwarded_after_heal(
    proxy: Proxy, echo: Echo, direction: Direction, received: bytes
) -> None:
    reader, writer = await connect(proxy)
    writer.write(b"1")
    await reader.readexactly(1)
    proxy.hold(direction)
    writer.write(b"2")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.readexactly(1)
    assert echo.received == received
    proxy.heal()
    assert await reader.readexactly(1) == b"2"
    writer.close()


@pytest.mark.parametrize("passed", [False, True])
async def test_a_connection_is_reset_at_a_request(proxy: Proxy, echo: Echo, passed: bool) -> None:
    reader, writer = await connect(proxy)
    proxy.reset_at(END_TXN, passed=passed)
    harmless, trapped = request(METADATA, b"abc"), request(END_TXN, b"commit")
    writer.write(harmless)
    await reader.readexactly(len(harmless))
    assert proxy.is_armed
    writer.write(trapped)
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(len(trapped) + 1)
    assert not proxy.is_armed
    assert echo.received.startswith(harmless)
    assert passed or echo.received == harmless
    writer.close()


async def test_a_bit_is_flipped_once_on_the_way_to_the_client(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await connect(proxy)
    proxy.corrupt(b"speech")
    for received in (b"silence", b"some rpeech", b"some speech"):
        writer.write(received.replace(b"rp", b"sp"))
        assert await reader.readexactly(len(received)) == received
    assert echo.received == b"silencesome speechsome speech"
    assert not proxy.is_armed
    writer.close()


async def test_a_link_s_client_connects_only_to_its_proxies(kafka: LocalKafka) -> None:
    async with Link(kafka.routes("link")) as link:
        client = AIOKafkaClient(bootstrap_servers=link.bootstrap)
        await client.bootstrap()
        (broker,) = client.cluster.brokers()
        assert f"{broker.host}:{broker.port}" == link.bootstrap != kafka.bootstrap
        await client.close()
        assert link.proxies[0].connections
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as direct:
            assert await direct.client.fetch_all_metadata()
