from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress
from typing import Final

from devstack.errors import DevstackError

HOST = "127.0.0.1"  # by number: `localhost` may mean IPv6 to one side and not to the other

# Systems give the ports above to clients: a port that is free now may be a client's a moment later.
_LISTENERS: Final = range(20_000, 32_768)


def free_ports(count: int) -> list[int]:
    """Different ports on which nobody listens now, and which no client is given meanwhile."""
    ports: list[int] = []
    with ExitStack() as held:
        for port in random.SystemRandom().sample(_LISTENERS, len(_LISTENERS)):
            if len(ports) == count:
                break
            with suppress(OSError):
                held.enter_context(socket.create_server((HOST, port)))
                ports.append(port)
    return ports


def ports_from(first: int, count: int) -> list[int]:
    """`first` and those after it. Raises DevstackError where one is taken or cannot be had."""
    ports = list(range(first, first + count))
    for port in ports:
        try:
            socket.create_server((HOST, port)).close()
        except (OSError, OverflowError) as error:
            raise DevstackError(
                f"port {port} cannot be had ({error}): choose another, or 0 for any free one"
            ) from error
    return ports
