"""`streamscribe broker` as a process: its output and exit codes."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.broker import main
from schemas.topics import Topics
from transport.cluster import check_topics

COMMAND = [sys.executable, "-m", "streamscribe", "broker", "--port", "0", "--prefix", "calls"]

pytestmark = pytest.mark.broker


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_broker_runs_with_topics_until_a_signal(
    signal_number: signal.Signals, code: int, tmp_path: Path
):
    command = [*COMMAND, "--partitions", "3", "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        bootstrap = process.stdout.readline().decode().strip()
        assert asyncio.run(check_topics(bootstrap, Topics("calls"), partitions=3)) == []
        process.send_signal(signal_number)
        assert "Traceback" not in process.stderr.read().decode()
    assert process.returncode == code
    host, port = bootstrap.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


def test_a_port_in_use_is_a_one_line_error(capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"streamscribe broker: port {port} cannot be opened")


def test_a_cluster_of_two_nodes_is_a_usage_error():
    with pytest.raises(SystemExit) as ended:
        main(["--nodes", "2"])
    assert ended.value.code == 2
