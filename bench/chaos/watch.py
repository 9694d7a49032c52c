"""The workers' own metrics, looked at now and then."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
from prometheus_client.samples import Sample

from bench.chaos.slots import Slot
from bench.scraped import TIMEOUT, scraped
from evaluation.percentiles import BucketCounts

_EVERY_S: Final = 1.0
_COMMITS: Final = "streamscribe_commit_seconds_bucket"


async def commit_times(
    slots: Sequence[Slot], quiet: Callable[[], bool], found: BucketCounts
) -> None:
    """Gather commit times outside of fault windows, until cancelled."""
    last: dict[str, dict[float, float]] = {}
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        while True:
            await asyncio.sleep(_EVERY_S)
            was_quiet = quiet()
            urls = [slot.url for slot in slots if slot.url is not None]
            pages = await asyncio.gather(*(scraped(session, url) for url in urls))
            for url, page in zip(urls, pages, strict=True):
                now = _buckets(page)
                if was_quiet and quiet() and url in last:
                    found.add(now, last[url])
                last[url] = now or last.get(url, {})


def _buckets(page: Sequence[Sample]) -> dict[float, float]:
    """Cumulative counts by upper bound."""
    counts: Counter[float] = Counter()
    for sample in page:
        if sample.name == _COMMITS:
            counts[float(sample.labels["le"])] += int(sample.value)
    return dict(counts)
