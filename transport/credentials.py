"""Secrets that change while clients run: read again, and used from the next connection on."""

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
    """The arguments of one process's Kafka clients, and the clients that were given them.

    `follow` a client to have it log in anew with what the files say by then, while `watch` runs.
    Raises AccessDenied where the files cannot be used at first.
    """

    def __init__(self, security: Security) -> None:
        self._security = security
        self._clients: WeakSet[AIOKafkaClient] = WeakSet()
        self._seen = self._stamps()
        self.arguments: dict[str, Any] = client_arguments(security)

    def attach(self, client: AIOKafkaClient) -> None:
        """`client`: `.client` of a producer, `._client` of a consumer or an admin client."""
        self._clients.add(client)

    def refresh(self) -> bool:
        """Whether the files changed; where they cannot be used now, what was read before holds."""
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
        """Refresh for ever: a task beside the clients."""
        while True:
            await asyncio.sleep(REFRESH_S)
            self.refresh()

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(os.fspath(path)) for path in secret_files(self._security)]


def _stamp(path: str) -> tuple[int, int, int] | None:
    """What differs when a file is written or replaced; None: it is not there now."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as short
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
