"""The workers' own metrics, looked at now and then."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from bench.chaos.measure import Histogram
from bench.chaos.slots import Slot

_EVERY_S: Final = 1.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)
_COMMITS: Final = "streamscribe_commit_seconds"


async def commit_times(slots: Sequence[Slot], quiet: Callable[[], bool], found: Histogram) -> None:
    """Gather commit times outside of fault windows, until cancelled."""
    last: dict[str, dict[float, float]] = {}
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        while True:
            await asyncio.sleep(_EVERY_S)
            was_quiet = quiet()
            urls = [slot.url for slot in slots if slot.url is not None]
            pages = await asyncio.gather(*(_page(session, url) for url in urls))
            for url, page in zip(urls, pages, strict=True):
                now = _buckets(page)
                if was_quiet and quiet() and url in last:
                    found.add(now, last[url])
                last[url] = now or last.get(url, {})


async def _page(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(f"{url}/metrics") as answer:
            return await answer.text()
    except (aiohttp.ClientError, TimeoutError):
        return ""


def _buckets(page: str) -> dict[float, float]:
    """Cumulative counts by upper bound."""
    counts: Counter[float] = Counter()
    for family in text_string_to_metric_families(page):
        for sample in family.samples if family.name == _COMMITS else ():
            if sample.name.endswith("_bucket"):
                counts[float(sample.labels["le"])] += int(sample.value)
    return dict(counts)
