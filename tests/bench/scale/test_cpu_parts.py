from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

from bench.scale.cpu_parts import LOOP, CpuParts, part_of

_CODE = """
import sys
def work(inner):
    return sys._getframe() if inner is None else inner()
"""


def frame(*modules: str) -> FrameType:
    """Return a frame of the last module, called by the one before it, and so on."""
    call: Callable[[], FrameType] | None = None
    for name in reversed(modules):
        namespace: dict[str, Any] = {"__name__": name}
        exec(_CODE, namespace)
        call = partial(namespace["work"], call)
    assert call is not None
    return call()


@pytest.mark.parametrize(
    ("modules", "part"),
    [
        (["aiokafka.consumer.fetcher", "aiokafka.record.default_records"], "fetch"),
        (["consumer.codecs.reader", "schemas.codec"], "decode"),
        (["consumer.core.partition.partition", "consumer.core.text.quality", "numpy"], "judge"),
        (["consumer.kafka.transaction", "schemas.codec"], "commit"),
        (["consumer.core.partition.partition", "consumer.core.partition.ledger"], "commit"),
        (["consumer.pipeline", "consumer.core.streams.stream"], "session"),
        (["asyncio.base_events", "selectors"], LOOP),
    ],
)
def test_the_part_is_that_of_the_innermost_frame_of_one(modules: list[str], part: str):
    assert part_of(frame("asyncio.runners", *modules)) == part


@pytest.fixture
def parts() -> Iterator[CpuParts]:
    before = signal.getsignal(signal.SIGPROF)
    parts = CpuParts()
    parts.start()
    yield parts
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def test_all_time_of_the_process_is_of_some_part(parts: CpuParts):
    before_s = time.process_time()
    parts.reset()
    while time.process_time() < before_s + 0.05:
        pass
    took_s = time.process_time() - before_s
    assert sum(parts.seconds().values()) == pytest.approx(took_s, rel=0.2)
