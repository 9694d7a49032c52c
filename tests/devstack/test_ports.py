from __future__ import annotations

import random
import socket
from collections.abc import Sequence

import pytest

from devstack.ports import HOST, free_ports


def test_no_client_is_given_a_free_port_meanwhile():
    with socket.create_server((HOST, 0)) as server:
        address = server.getsockname()
        clients = [socket.create_connection(address) for _ in range(20)]
        given = [client.getsockname()[1] for client in clients]
        for client in clients:
            client.close()
    assert max(free_ports(100)) < min(given)


def test_ports_are_different_and_nobody_listens_there(monkeypatch: pytest.MonkeyPatch):
    (taken,) = free_ports(1)

    def in_order(_: object, ports: Sequence[int], count: int) -> list[int]:
        return [taken, *(port for port in ports if port != taken)][:count]

    monkeypatch.setattr(random.SystemRandom, "sample", in_order)
    with socket.create_server((HOST, taken)):
        found = free_ports(3)
    assert len({*found} - {taken}) == 3
    assert free_ports(1) == [taken]
