"""The HTTP endpoints /livez, /readyz and /metrics of a worker."""

from __future__ import annotations

from typing import Self

from aiohttp import web
from prometheus_client import exposition

from consumer.errors import ConfigError
from consumer.metrics import Metrics


class Health:
    """The HTTP server, an asynchronous context manager; `port` is the one that was bound.

    /livez answers while the event loop runs. /readyz answers 200 while the worker serves, else 503
    and what it waits for. Neither contains text of a transcript.
    """

    def __init__(self, host: str, port: int, metrics: Metrics) -> None:
        self._host = host
        self.port = port
        self._metrics = metrics
        self._waiting_for: str | None = "starting"
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_page)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"cannot listen on {self._host}:{self.port}: {error.strerror}; "
                "set STREAMSCRIBE_HTTP_PORT to a free port, or to 0 for any, and "
                "STREAMSCRIBE_HTTP_HOST to an address of this machine"
            ) from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def waits_for(self, what: str) -> None:
        """Report the worker as not ready, with the reason."""
        self._waiting_for = what
        self._metrics.set("ready", 0)

    def is_ready(self) -> None:
        """Report the worker as ready."""
        self._waiting_for = None
        self._metrics.set("ready", 1)

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._waiting_for is None:
            return web.Response(text="ready\n")
        return web.Response(status=503, text=f"{self._waiting_for}\n")

    async def _metrics_page(self, _: web.Request) -> web.Response:
        page = exposition.generate_latest(self._metrics.registry)
        return web.Response(body=page, headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})
