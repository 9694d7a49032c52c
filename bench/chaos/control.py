"""How a run tells a worker what to suffer: one line each on a Unix socket, one line back."""

from __future__ import annotations

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer

from bench.chaos.commit_points import Point, Trap
from bench.chaos.oracle import Mood
from bench.memory import resident

TIMEOUT_S: Final = 3.0


class Control:
    """The worker's end; use as an asynchronous context manager."""

    def __init__(self, socket: Path, mood: Mood, trap: Trap) -> None:
        self._socket = socket
        self._mood = mood
        self._trap = trap
        self._members = _members()
        self._server: asyncio.Server
        self._orders: dict[str, Callable[[str], object]] = {
            "die": self._die,
            "block": lambda seconds: time.sleep(float(seconds)),
            "slow": lambda factor: setattr(mood, "slowness", float(factor)),
            "hang": lambda yes: setattr(mood, "hangs", yes == "1"),
            "rows": lambda most: setattr(mood, "most_rows", int(most) or None),
            "memory": lambda _: resident().peak_mb,
            "partitions": lambda _: self._partitions(),
        }

    async def __aenter__(self) -> Self:
        self._socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        order, _, argument = (await reader.readline()).decode().strip().partition(" ")
        if order == "block":  # the answer first: there will be none for long
            writer.write(b"\n")
            await writer.drain()
        answer = self._orders[order](argument)
        writer.write(f"{'' if answer is None else answer}\n".encode())
        writer.close()

    def _die(self, point: str) -> None:
        self._trap.armed = Point(point) if point else None

    def _partitions(self) -> str:
        """Of the group's member in this process: topic:number, with spaces between them."""
        assigned = [each for member in self._members for each in member.assignment()]
        return " ".join(f"{each.topic}:{each.partition}" for each in assigned)


async def order(socket: Path, line: str) -> str:
    """Raises OSError (a timeout is one) when the worker does not answer."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            writer.write(f"{line}\n".encode())
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()


def _members() -> list[Any]:
    """Consumers that join a group from now on."""
    members: list[Any] = []
    subscribe = AIOKafkaConsumer.subscribe

    def remember(consumer: Any, *args: Any, **more: Any) -> Any:
        members.append(consumer)
        return subscribe(consumer, *args, **more)

    AIOKafkaConsumer.subscribe = remember
    return members
