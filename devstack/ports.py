from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress
from typing import Final

from devstack.errors import DevstackError

HOST = "127.0.0.1"  # a number: `localhost` may mean IPv6 to one side and IPv4 to the other

# Below the ephemeral ports, any of which the system may assign to a client at any moment.
_LISTENERS: Final = range(20_000, 32_768)


def free_ports(count: int) -> list[int]:
    """Return different ports that are free now and that the system assigns to no client."""
    ports: list[int] = []
    with ExitStack() as servers:
        for port in random.SystemRandom().sample(_LISTENERS, len(_LISTENERS)):
            if len(ports) == count:
                break
            with suppress(OSError):
                servers.enter_context(socket.create_server((HOST, port)))
                ports.append(port)
    return ports


def ports_from(first: int, count: int) -> list[int]:
    """Return `first` and the ports after it. Raises DevstackError if one cannot be opened."""
    ports = list(range(first, first + count))
    for port in ports:
        try:
            socket.create_server((HOST, port)).close()
        except (OSError, OverflowError) as error:
            raise DevstackError(
                f"port {port} cannot be opened ({error}): choose another, or 0 for any free one"
            ) from error
    return ports
