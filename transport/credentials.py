"""Reload changed secrets while clients run; their next connections use them."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any, Final, NoReturn
from weakref import WeakSet

from aiokafka.client import AIOKafkaClient

from transport.client import client_arguments, secret_files
from transport.compat import set_credentials
from transport.errors import AccessDenied
from transport.security import Security

REFRESH_S: Final = 10.0

log = logging.getLogger(__name__)


class Credentials:
    """The arguments of a process's Kafka clients, and the clients that use them.

    While `watch` runs, new connections of attached clients use the current content of the files.
    Raises AccessDenied if the files cannot be used at first.
    """

    def __init__(self, security: Security) -> None:
        self._security = security
        self._clients: WeakSet[AIOKafkaClient] = WeakSet()
        self._seen = self._stamps()
        self.arguments: dict[str, Any] = client_arguments(security)

    def attach(self, client: AIOKafkaClient) -> None:
        """Update a client's secrets when the files change.

        `client`: the `.client` of a producer; of others, see `transport.compat.client_of`.
        """
        self._clients.add(client)

    def refresh(self) -> bool:
        """Return whether changed files were read. If they cannot be used, the old secrets stay."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        try:
            self.arguments = client_arguments(self._security)
        except AccessDenied as error:
            log.warning("changed secrets cannot be used, keeping the old ones: %s", error)
            return False
        self._seen = stamps
        for client in self._clients:
            set_credentials(client, self.arguments)
        log.info("secrets reloaded for new connections")
        return True

    async def watch(self) -> NoReturn:
        """Refresh periodically, for ever."""
        while True:
            await asyncio.sleep(REFRESH_S)
            self.refresh()

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(os.fspath(path)) for path in secret_files(self._security)]


def _stamp(path: str) -> tuple[int, int, int] | None:
    """Return a value that changes when a file is written or replaced, or None if it is absent."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as short
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
