from __future__ import annotations

import socket
from contextlib import ExitStack

from devstack.errors import DevstackError

HOST = "127.0.0.1"  # by number: `localhost` may mean IPv6 to one side and not to the other


def free_ports(count: int) -> list[int]:
    """Different ports on which nobody listens now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


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
