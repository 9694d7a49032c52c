"""A real Kafka on this machine without Docker: one or three nodes, ready within seconds.

    async with LocalKafka() as kafka:      # or `with`, in synchronous code
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)

It ends with the process that started it, even if that process is killed.
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
_STOP_TIMEOUT_S = 10.0  # without a quorum Kafka's own shutdown takes minutes
_POLL_S = 0.05


class LocalKafka:
    """A cluster of `nodes` brokers, each also a voter of the controller quorum.

    `port`: of node 1, node n listens on port + n - 1; 0 or None: any free ports.
    `data`: a folder that is kept and can be started again; None: a temporary one.
    `links`: names of clients with listeners of their own, for `devstack.proxy.Link`.
    `settings`: Kafka settings that override those of `server_properties`.

    Starting raises DevstackError if a port is taken, the folder is in use or has another number of
    nodes, Kafka cannot be fetched, or a node ends or does not answer (with the end of its log).
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
        self._links, self._settings = links, settings
        self._nodes: dict[int, Node] = {}
        self._class_path = ""
        self._resources = ExitStack()  # the data folder or its lock

    @property
    def bootstrap(self) -> str:
        """`host:port` of every node, separated by commas."""
        return ",".join(node.address for node in self._nodes.values())

    @property
    def nodes(self) -> tuple[int, ...]:
        """The numbers of the nodes, from 1."""
        return tuple(self._nodes)

    def routes(self, link: str) -> list[Route]:
        """Return the routes of a client to every node."""
        return [node.routes[link] for node in self._nodes.values()]

    def log_file(self, node: int) -> Path:
        return self._nodes[node].log_file

    def damage(self, node: int, topic: str, partition: int, content: bytes) -> None:
        """Flip a bit of these bytes in the node's log, as a failing disk would.

        Raises ValueError if the log does not contain them.
        """
        folder = self._nodes[node].folder / "log" / f"{topic}-{partition}"
        for segment in sorted(folder.glob("*.log"), reverse=True):
            if (at := segment.read_bytes().find(content)) >= 0:
                with segment.open("r+b") as file:
                    file.seek(at)
                    file.write(bytes((content[0] ^ 1,)))
                return
        raise ValueError(f"{folder} does not contain these bytes")

    def pid(self, node: int) -> int:
        """Return the id of the node's latest Java process."""
        return self._nodes[node].pid

    async def start(self) -> None:
        """Start all nodes; return once each one's metadata has all of them."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self._class_path = await asyncio.to_thread(class_path)
        data = self._open_data()
        self._nodes = {node.number: node for node in self._new_nodes(data)}
        await self._format(_cluster_id(data))
        await self.restart(*self._nodes)

    async def stop(self) -> None:
        """Stop all nodes: with SIGTERM if the data is kept, else with SIGKILL. Idempotent."""
        for node in self._nodes.values():
            node.signal(signal.SIGCONT)
            node.signal(signal.SIGTERM if self._data else signal.SIGKILL)
        await asyncio.to_thread(self._wait_all)
        self._resources.close()

    def _wait_all(self) -> None:
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        for node in self._nodes.values():
            if not node.wait(max(0.0, deadline - time.monotonic())):
                node.signal(signal.SIGKILL)
                node.wait(None)

    def kill(self, node: int) -> None:
        """Send SIGKILL and wait until the process has ended."""
        self._nodes[node].signal(signal.SIGKILL)
        self._nodes[node].wait(None)

    def pause(self, node: int) -> None:
        """Send SIGSTOP: connections stay open without responses."""
        self._nodes[node].signal(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        self._nodes[node].signal(signal.SIGCONT)

    async def restart(self, *nodes: int) -> None:
        """Start ended nodes on their ports and data; return once their metadata has each other.

        A quorum is two of three: if all have ended, restart two in one call.
        """
        started = [self._nodes[number] for number in nodes]
        for node in started:
            node.start(self._class_path)
        await asyncio.gather(*(_wait_ready(node, set(nodes)) for node in started))

    def exit_codes(self) -> dict[int, int]:
        """Return the exit codes of the nodes that have ended."""
        codes = {number: node.exit_code for number, node in self._nodes.items()}
        return {number: code for number, code in codes.items() if code is not None}

    def _open_data(self) -> Path:
        """Return the data folder, temporary or locked, until `stop`."""
        if self._data is None:
            folder = Path(tempfile.mkdtemp(prefix="streamscribe-kafka-"))
            self._resources.callback(shutil.rmtree, folder, ignore_errors=True)
            return folder
        try:
            self._data.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._data / ".lock", blocking=False, thread_local=False)
            self._resources.enter_context(lock)
        except Timeout as error:
            raise DevstackError(f"{self._data} is in use by another broker: stop it") from error
        except OSError as error:
            raise DevstackError(
                f"the data folder cannot be used, choose another: {error}"
            ) from error
        return self._data

    def _new_nodes(self, data: Path) -> list[Node]:
        if (kept := len(list(data.glob("node-*")))) not in (0, self._count):
            raise DevstackError(
                f"{data} has the data of {kept} node(s), not {self._count}: use --nodes {kept}, or "
                "another folder"
            )
        free = free_ports(2 * self._count)
        ports = ports_from(self._port, self._count) if self._port else free[self._count :]
        voters = [Voter(number, port) for number, port in enumerate(free[: self._count], start=1)]
        return [
            self._new_node(voter, port, voters, data)
            for voter, port in zip(voters, ports, strict=True)
        ]

    def _new_node(self, voter: Voter, port: int, voters: list[Voter], data: Path) -> Node:
        folder = data / f"node-{voter.number}"
        return Node(voter.number, port, voters, folder, self._new_routes(), self._settings)

    def _new_routes(self) -> dict[str, Route]:
        ports = iter(free_ports(2 * len(self._links)))
        return {link: Route(next(ports), next(ports)) for link in self._links}

    async def _format(self, cluster_id: str) -> None:
        new = [node for node in self._nodes.values() if not node.formatted]
        await asyncio.gather(
            *(asyncio.to_thread(node.format, cluster_id, self._class_path) for node in new)
        )
        for node in new:
            if node.exit_code != 0:
                raise DevstackError(
                    f"Kafka could not format {node.folder}, choose another folder:\n"
                    f"{node.log_tail()}"
                )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        _run_in_thread(self.start())
        return self

    def __exit__(self, *_: object) -> None:
        _run_in_thread(self.stop())


def _run_in_thread(work: Coroutine[Any, Any, None]) -> None:
    """Run the coroutine in a thread with its own event loop, even if one is running here."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def _wait_ready(node: Node, expected: set[int]) -> None:
    """Return once the node's own metadata has at least the expected nodes."""
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while not expected <= await _metadata(node):
                if node.exit_code is not None:
                    raise _failure(node, f"ended with {node.exit_code}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise _failure(node, f"does not answer after {_START_TIMEOUT_S:.0f} s") from error


def _failure(node: Node, problem: str) -> DevstackError:
    return DevstackError(
        f"Kafka's node {node.number} {problem}; the end of {node.log_file}:\n{node.log_tail()}"
    )


async def _metadata(node: Node) -> set[int]:
    """Return the brokers in the node's metadata; none while it does not answer."""
    if not await _listens(node.address):
        return set()  # aiokafka would log every failed attempt
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
    """Return the id that is stored with the data, or create one as Kafka does (16 random bytes)."""
    file = data / "cluster.id"
    if not file.exists():
        file.write_bytes(base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"="))
    return file.read_text("ascii")
