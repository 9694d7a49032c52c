"""A real Kafka on this machine without Docker: one or three nodes, ready within seconds.

    async with LocalKafka() as kafka:      # or `with`, where nothing is asynchronous
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)

It ends with the process that started it, also when that one is killed.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Collection, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from filelock import FileLock, Timeout

from devstack.errors import DevstackError
from devstack.kafka_jars import class_path
from devstack.kafka_node import Node, Voter
from devstack.ports import free_ports, ports_from
from devstack.proxy import Route

NODE_COUNTS: Final = (1, 3)
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0  # without a quorum Kafka would wait for minutes to leave in order
_POLL_S = 0.05


class LocalKafka:
    """`nodes` brokers of one cluster, each also a voter of the quorum.

    `port`: of node 1, node n listens on port + n - 1; 0 or None: any free ports.
    `data`: a folder that outlives it and can be started again; None: a temporary one.
    `links`: clients that reach it by a way of their own, to be cut (`devstack.proxy.Link`).
    `settings`: Kafka's own, over those of `server_properties`.

    Starting raises DevstackError: a port is taken, the folder is in use or of another size, Kafka
    cannot be fetched, or a node ended or did not answer (the tail of its log is shown).
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        port: int | None = None,
        data: Path | None = None,
        links: Collection[str] = (),
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        if nodes not in NODE_COUNTS:
            raise ValueError(f"{nodes} nodes: Kafka runs here with 1 or 3")
        self._count, self._port, self._data = nodes, port, data
        self._links, self._more = links, settings
        self._nodes: dict[int, Node] = {}
        self._class_path = ""
        self._held = ExitStack()  # the data folder

    @property
    def bootstrap(self) -> str:
        """`host:port` of every node, with commas, as Kafka clients take it."""
        return ",".join(node.address for node in self._nodes.values())

    @property
    def nodes(self) -> tuple[int, ...]:
        """The numbers of its nodes, from 1."""
        return tuple(self._nodes)

    def routes(self, link: str) -> list[Route]:
        """A client's way to every node."""
        return [node.routes[link] for node in self._nodes.values()]

    def log_file(self, node: int) -> Path:
        return self._nodes[node].log_file

    def damage(self, node: int, topic: str, partition: int, told: bytes) -> None:
        """Change a bit of these bytes where the node's log has them, as a failing disk would.

        Raises ValueError where they are not in it.
        """
        folder = self._nodes[node].folder / "log" / f"{topic}-{partition}"
        for segment in sorted(folder.glob("*.log"), reverse=True):
            if (at := segment.read_bytes().find(told)) >= 0:
                with segment.open("r+b") as file:
                    file.seek(at)
                    file.write(bytes((told[0] ^ 1,)))
                return
        raise ValueError(f"{folder} does not hold it")

    def pid(self, node: int) -> int:
        """Of the Java process that was started last."""
        return self._nodes[node].pid

    async def start(self) -> None:
        """Returns when every node has answered with every node."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self._class_path = await asyncio.to_thread(class_path)
        data = self._hold_data()
        self._nodes = {node.number: node for node in self._new_nodes(data)}
        await self._format(_cluster_id(data))
        await self.restart(*self._nodes)

    async def stop(self) -> None:
        """In order where the data is kept, at once where it is not; harmless when it is stopped."""
        for node in self._nodes.values():
            node.signal(signal.SIGCONT)
            node.signal(signal.SIGTERM if self._data else signal.SIGKILL)
        await asyncio.to_thread(self._wait_all)
        self._held.close()

    def _wait_all(self) -> None:
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        for node in self._nodes.values():
            if not node.wait(max(0.0, deadline - time.monotonic())):
                node.signal(signal.SIGKILL)
                node.wait(None)

    def kill(self, node: int) -> None:
        """SIGKILL; returns when the process has gone."""
        self._nodes[node].signal(signal.SIGKILL)
        self._nodes[node].wait(None)

    def pause(self, node: int) -> None:
        """SIGSTOP: its connections stay open and nothing answers."""
        self._nodes[node].signal(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        self._nodes[node].signal(signal.SIGCONT)

    async def restart(self, *nodes: int) -> None:
        """Start nodes that have ended, on their ports and data; returns when they know each other.

        Two of three make a quorum: where all are down, restart two at once.
        """
        started = [self._nodes[number] for number in nodes]
        for node in started:
            node.start(self._class_path)
        await asyncio.gather(*(_ready(node, set(nodes)) for node in started))

    def exit_codes(self) -> dict[int, int]:
        """Of the nodes that have ended."""
        codes = {number: node.exit_code for number, node in self._nodes.items()}
        return {number: code for number, code in codes.items() if code is not None}

    def _hold_data(self) -> Path:
        if self._data is None:
            folder = Path(tempfile.mkdtemp(prefix="streamscribe-kafka-"))
            self._held.callback(shutil.rmtree, folder, ignore_errors=True)
            return folder
        try:
            self._data.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._data / ".lock", blocking=False, thread_local=False)
            self._held.enter_context(lock)
        except Timeout as error:
            raise DevstackError(f"{self._data} is in use by another broker: stop it") from error
        except OSError as error:
            raise DevstackError(f"data cannot be kept there, choose another: {error}") from error
        return self._data

    def _new_nodes(self, data: Path) -> list[Node]:
        if (kept := len(list(data.glob("node-*")))) not in (0, self._count):
            raise DevstackError(f"{data} holds {kept} node(s), not {self._count}: ask for {kept}")
        free = free_ports(2 * self._count)
        ports = ports_from(self._port, self._count) if self._port else free[self._count :]
        voters = [Voter(number, port) for number, port in enumerate(free[: self._count], start=1)]
        return [
            self._new_node(voter, port, voters, data)
            for voter, port in zip(voters, ports, strict=True)
        ]

    def _new_node(self, voter: Voter, port: int, voters: list[Voter], data: Path) -> Node:
        folder = data / f"node-{voter.number}"
        return Node(voter.number, port, voters, folder, self._new_routes(), self._more)

    def _new_routes(self) -> dict[str, Route]:
        ports = iter(free_ports(2 * len(self._links)))
        return {link: Route(next(ports), next(ports)) for link in self._links}

    async def _format(self, cluster_id: str) -> None:
        new = [node for node in self._nodes.values() if not node.formatted]
        format_ = [asyncio.to_thread(n.format, cluster_id, self._class_path) for n in new]
        await asyncio.gather(*format_)
        for node in new:
            if node.exit_code != 0:
                raise DevstackError(f"Kafka could not format its data:\n{node.log_tail()}")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        _in_a_loop_of_its_own(self.start())
        return self

    def __exit__(self, *_: object) -> None:
        _in_a_loop_of_its_own(self.stop())


def _in_a_loop_of_its_own(work: Coroutine[Any, Any, None]) -> None:
    """In a thread, so that it can be called where a loop is running too."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def _ready(node: Node, expected: set[int]) -> None:
    """Wait until the node itself answers a metadata request with at least the expected nodes."""
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while not expected <= await _metadata(node):
                if node.exit_code is not None:
                    raise DevstackError(_failure(node, f"ended with {node.exit_code}"))
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise DevstackError(
            _failure(node, f"has no answer after {_START_TIMEOUT_S:.0f} s")
        ) from error


def _failure(node: Node, what: str) -> str:
    return f"Kafka's node {node.number} {what}; the end of {node.log_file}:\n{node.log_tail()}"


async def _metadata(node: Node) -> set[int]:
    """The brokers that the node knows of; none while it does not answer."""
    if not await _listens(node.address):
        return set()  # sparing aiokafka a log line for every try
    client = AIOKafkaClient(bootstrap_servers=node.address)
    try:
        await client.bootstrap()
    except KafkaError:
        return set()
    finally:
        await client.close()
    return {broker.nodeId for broker in client.cluster.brokers()}


async def _listens(address: str) -> bool:
    host, port = address.split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def _cluster_id(data: Path) -> str:
    """Kept with the data; made as Kafka makes them (16 random bytes) for new data."""
    file = data / "cluster.id"
    if not file.exists():
        file.write_bytes(base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"="))
    return file.read_text("ascii")
