"""A worker's /metrics, as a monitoring system reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)


async def scraped(session: aiohttp.ClientSession, url: str) -> list[Sample]:
    """All samples of the worker there; none of one that does not answer."""
    try:
        async with session.get(f"{url}/metrics") as answer:
            return [*_samples(await answer.text())] if answer.ok else []
    except (aiohttp.ClientError, TimeoutError):
        return []


def _samples(page: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(page):
        yield from family.samples
