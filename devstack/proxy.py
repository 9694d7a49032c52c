"""Inject network faults: TCP proxies between one client and every broker.

    client --> Link = a Proxy for each broker --> that broker's own listener for this client

Kafka clients connect to the addresses that brokers advertise. Therefore every such client has a
listener of its own on each broker, which advertises the proxy (`LocalKafka(links=...)`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Self

from devstack.ports import HOST

_CHUNK_BYTES: Final = 1 << 20
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Route(NamedTuple):
    """The ports between one client and one broker."""

    advertised: int  # port of the proxy
    listener: int  # port of the broker


class Direction(StrEnum):
    UP = "up"  # to the broker
    DOWN = "down"  # from the broker


class Requests:
    """Parses Kafka's requests in a stream of bytes: a size (int32), then an API key (int16)."""

    def __init__(self) -> None:
        self._head = b""  # the received part of the next request's head
        self._rest = 0  # bytes before that head

    def push(self, data: bytes) -> list[int]:
        """Return the API keys of the requests whose head is complete with `data`."""
        keys = []
        while data:
            skipped = min(self._rest, len(data))
            self._rest, data = self._rest - skipped, data[skipped:]
            missing = 6 - len(self._head)
            self._head, data = self._head + data[:missing], data[missing:]
            if len(self._head) == 6:
                size, key = struct.unpack(">ih", self._head)
                keys.append(key)
                self._head, self._rest = b"", size - 2
        return keys


class _Trap(NamedTuple):
    """A request that resets its connection."""

    api_key: int
    passed: bool  # after the request was forwarded


class Proxy:
    """A TCP proxy between one client and one broker; an asynchronous context manager."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.connections = 0  # opened so far
        self.resets = 0  # of connections, so far
        self.delay_s = 0.0  # of everything, in each direction
        self._refusing = False
        self._flows = {direction: asyncio.Event() for direction in Direction}
        self._writers: set[StreamWriter] = set()
        self._trap: _Trap | None = None
        self._corrupted: bytes | None = None  # the bytes to change on their way to the client
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self.heal()
        self._server = await asyncio.start_server(
            self._serve, HOST, self.route.advertised, limit=_CHUNK_BYTES
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.heal()
        self.reset()
        await self._server.wait_closed()

    def refuse(self) -> None:
        """Reset all connections and new ones, as if the port were closed."""
        self._refusing = True
        self.reset()

    def hold(self, *directions: Direction) -> None:
        """Hold all data until `heal`, as a link that is down; connections stay open."""
        for direction in directions or Direction:
            self._flows[direction].clear()

    def reset(self) -> None:
        """Send TCP RST to both ends of every connection."""
        self._reset(self._writers)

    def reset_at(self, api_key: int, *, passed: bool) -> None:
        """Reset the connection of the next such request once, before or after forwarding it."""
        self._trap = _Trap(api_key, passed)

    def corrupt(self, content: bytes) -> None:
        """Flip a bit of these bytes once, when they next pass to the client in one read."""
        self._corrupted = content

    @property
    def is_armed(self) -> bool:
        """Whether `reset_at` or `corrupt` has not taken effect yet."""
        return self._trap is not None or self._corrupted is not None

    def heal(self) -> None:
        """End all faults."""
        self._refusing, self._trap, self._corrupted, self.delay_s = False, None, None, 0.0
        for flow in self._flows.values():
            flow.set()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if self._refusing:
                self._abort(writer)
                return
            broker = await asyncio.open_connection(HOST, self.route.listener, limit=_CHUNK_BYTES)
            self.connections += 1
            await self._connect((reader, writer), broker)

    async def _connect(
        self,
        client: tuple[StreamReader, StreamWriter],
        broker: tuple[StreamReader, StreamWriter],
    ) -> None:
        """Forward both directions until one end closes."""
        ends = {client[1], broker[1]}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._forward(client[0], broker[1], Direction.UP, ends),
                self._forward(broker[0], client[1], Direction.DOWN, ends),
            )
        finally:
            self._writers -= ends
            for end in ends:
                end.close()

    async def _forward(
        self,
        reader: StreamReader,
        writer: StreamWriter,
        direction: Direction,
        ends: Iterable[StreamWriter],
    ) -> None:
        """Forward one direction until its reader ends; then close its writer."""
        requests = Requests()
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._flows[direction].wait()
                up = direction is Direction.UP
                trap = self._take_trap(requests.push(data)) if up else None
                if trap is None or trap.passed:
                    writer.write(data if up else self._corrupt(data))
                    await writer.drain()
                if trap is not None:
                    self._reset(ends)
                    return
        finally:
            writer.close()

    def _corrupt(self, data: bytes) -> bytes:
        content = self._corrupted
        if content is None or content not in data:
            return data
        self._corrupted = None
        return data.replace(content, bytes((content[0] ^ 1, *content[1:])), 1)

    def _take_trap(self, keys: Sequence[int]) -> _Trap | None:
        """Return and disarm the trap if one of these requests is its request."""
        trap = self._trap
        if trap is None or trap.api_key not in keys:
            return None
        self._trap = None
        return trap

    def _reset(self, writers: Iterable[StreamWriter]) -> None:
        for writer in list(writers):
            self._abort(writer)

    def _abort(self, writer: StreamWriter) -> None:
        self.resets += 1
        end: socket.socket = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # already closed
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()


class Link:
    """The proxies between one client and all brokers."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.proxies = [Proxy(route) for route in routes]
        self._open = contextlib.AsyncExitStack()

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{proxy.route.advertised}" for proxy in self.proxies)

    @property
    def resets(self) -> int:
        return sum(proxy.resets for proxy in self.proxies)

    async def __aenter__(self) -> Self:
        for proxy in self.proxies:
            await self._open.enter_async_context(proxy)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def heal(self) -> None:
        for proxy in self.proxies:
            proxy.heal()
