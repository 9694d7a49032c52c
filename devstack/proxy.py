"""A network that fails when it is told to: a TCP proxy before every broker, one set a client.

    client --> Link = a Proxy for each broker --> that broker's own listener for this client

Kafka clients connect to what the brokers advertise, so each client to be cut off has a listener of
its own, which advertises the proxy (`LocalKafka(links=...)`).
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
    """How one client reaches one broker."""

    advertised: int  # port of the proxy
    listener: int  # port of the broker


class Direction(StrEnum):
    UP = "up"  # to the broker
    DOWN = "down"  # from the broker


class Requests:
    """Kafka's requests in a stream of bytes: a size (int32), then an API key (int16)."""

    def __init__(self) -> None:
        self._head = b""  # of the next request, as far as it has come
        self._rest = 0  # bytes until then

    def push(self, data: bytes) -> list[int]:
        """API keys of the requests whose head is complete now."""
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
    api_key: int
    passed: bool  # the request still reaches the broker


class Proxy:
    """One client's way to one broker; use as an asynchronous context manager."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.connections = 0  # made so far
        self.resets = 0  # of connections, so far
        self.delay_s = 0.0  # of all that passes, each way
        self._refusing = False
        self._flows = {way: asyncio.Event() for way in Direction}
        self._writers: set[StreamWriter] = set()
        self._trap: _Trap | None = None
        self._garbled: bytes | None = None  # what is to be changed on its way to the client
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
        """As if nobody listened there: connections end, new ones are closed at once."""
        self._refusing = True
        self.reset()

    def hold(self, *ways: Direction) -> None:
        """As a link that is down: nothing passes, connections stay, what was sent comes later."""
        for way in ways or Direction:
            self._flows[way].clear()

    def reset(self) -> None:
        """TCP RST to both ends of every connection."""
        self._reset(self._writers)

    def reset_at(self, api_key: int, *, passed: bool) -> None:
        """Reset the connection of the next such request, before or after it has passed; once."""
        self._trap = _Trap(api_key, passed)

    def corrupt(self, told: bytes) -> None:
        """Change a bit of these bytes where they next pass to the client, in one piece; once."""
        self._garbled = told

    @property
    def is_armed(self) -> bool:
        """Whether `reset_at` or `garble` has still to happen."""
        return self._trap is not None or self._garbled is not None

    def heal(self) -> None:
        self._refusing, self._trap, self._garbled, self.delay_s = False, None, None, 0.0
        for flow in self._flows.values():
            flow.set()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if self._refusing:
                self._abort(writer)
                return
            back, forth = await asyncio.open_connection(
                HOST, self.route.listener, limit=_CHUNK_BYTES
            )
            self.connections += 1
            await self._join(reader, writer, back, forth)

    async def _join(
        self, reader: StreamReader, writer: StreamWriter, back: StreamReader, forth: StreamWriter
    ) -> None:
        ends = {writer, forth}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._pump(reader, forth, Direction.UP, ends),
                self._pump(back, writer, Direction.DOWN, ends),
            )
        finally:
            self._writers -= ends
            for end in ends:
                end.close()

    async def _pump(
        self,
        reader: StreamReader,
        writer: StreamWriter,
        way: Direction,
        ends: Iterable[StreamWriter],
    ) -> None:
        """Until one end closes, which closes the other."""
        requests = Requests()
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._flows[way].wait()
                trap = self._sprung(requests.push(data)) if way is Direction.UP else None
                if trap is None or trap.passed:
                    writer.write(data if way is Direction.UP else self._spoilt(data))
                    await writer.drain()
                if trap is not None:
                    self._reset(ends)
                    return
        finally:
            writer.close()

    def _spoilt(self, data: bytes) -> bytes:
        told = self._garbled
        if told is None or told not in data:
            return data
        self._garbled = None
        return data.replace(told, bytes((told[0] ^ 1, *told[1:])), 1)

    def _sprung(self, keys: Sequence[int]) -> _Trap | None:
        """The trap, if one of these requests is what it waits for."""
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
        with contextlib.suppress(OSError):  # it has closed by itself
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()


class Link:
    """One client's way to all brokers; what is done to it is done to every proxy."""

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
