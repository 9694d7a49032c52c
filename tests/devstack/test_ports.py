from __future__ import annotations

import random
import socket
from collections.abc import Sequence

import pytest

from devstack.ports import HOST, free_ports


def test_free_ports_are_below_the_ephemeral_ports():
    with socket.create_server((HOST, 0)) as server:
        address = server.getsockname()
        clients = [socket.create_connection(address) for _ in range(20)]
        given = [client.getsockname()[1] for client in clients]
        for client in clients:
            client.close()
    assert max(free_ports(100)) < min(given)


def test_free_ports_are_different_and_not_in_use(monkeypatch: pytest.MonkeyPatch):
    (used,) = free_ports(1)

    def in_order(_: object, ports: Sequence[int], count: int) -> list[int]:
        return [used, *(port for port in ports if port != used)][:count]

    monkeypatch.setattr(random.SystemRandom, "sample", in_order)
    with socket.create_server((HOST, used)):
        found = free_ports(3)
    assert len({*found} - {used}) == 3
    assert free_ports(1) == [used]
