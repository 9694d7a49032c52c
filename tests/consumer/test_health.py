from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from consumer.errors import ConfigError
from consumer.health import Health
from consumer.metrics import Metrics


@pytest.fixture
async def health() -> AsyncIterator[Health]:
    async with Health("127.0.0.1", 0, Metrics()) as health:
        yield health


async def get(health: Health, path: str) -> tuple[int, str, str]:
    url = f"http://127.0.0.1:{health.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, answer.content_type, await answer.text()


async def test_livez_is_ok_as_soon_as_the_server_listens(health: Health):
    assert await get(health, "/livez") == (200, "text/plain", "alive\n")


async def test_readyz_is_503_and_names_what_the_worker_waits_for(health: Health):
    assert await get(health, "/readyz") == (503, "text/plain", "starting\n")
    health.waits_for("loading the model")
    assert await get(health, "/readyz") == (503, "text/plain", "loading the model\n")


async def test_readyz_and_the_ready_metric_follow_the_worker(health: Health):
    health.is_ready()
    assert await get(health, "/readyz") == (200, "text/plain", "ready\n")
    assert "streamscribe_ready 1.0" in (await get(health, "/metrics"))[2]
    health.waits_for("joining the group")
    assert (await get(health, "/readyz"))[0] == 503
    assert "streamscribe_ready 0.0" in (await get(health, "/metrics"))[2]


async def test_metrics_are_in_the_format_of_prometheus(health: Health):
    status, kind, page = await get(health, "/metrics")
    assert (status, kind) == (200, "text/plain")
    assert "# TYPE streamscribe_batch_rows histogram" in page


async def test_other_paths_are_not_found(health: Health):
    assert (await get(health, "/"))[0] == 404


async def test_a_port_in_use_is_an_error_that_names_the_setting():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as raised:
            await Health("127.0.0.1", port, Metrics()).__aenter__()
    assert f"127.0.0.1:{port}" in str(raised.value)
    assert "STREAMSCRIBE_HTTP_PORT" in str(raised.value)


async def test_an_address_of_another_host_is_an_error_that_names_the_setting():
    with pytest.raises(ConfigError, match="STREAMSCRIBE_HTTP_HOST"):
        await Health("192.0.2.1", 0, Metrics()).__aenter__()


async def test_closing_the_server_frees_its_port():
    async with Health("127.0.0.1", 0, Metrics()) as first:
        port = first.port
    async with Health("127.0.0.1", port, Metrics()) as second:
        assert second.port == port
