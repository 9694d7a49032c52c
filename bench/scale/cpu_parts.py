"""Processor time of a worker by part of its work: threads by their clocks, the loop by samples.

A timer of the process's processor time interrupts the main thread. What that thread has taken since
the last interrupt counts for the part whose code it is in: the innermost frame that is of a part.
So the parts add up to the time of the thread, whatever the other threads take.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from types import FrameType
from typing import Final

EVERY_S: Final = 0.005  # of processor time between two samples

# Parts by module; the longest prefix applies. What is of none counts for the code that calls it.
PARTS: Final[Mapping[str, str]] = {
    "aiokafka.consumer": "fetch",
    "consumer.kafka.source": "fetch",
    "consumer.kafka.fetch_guard": "fetch",
    "consumer.kafka.batches": "fetch",
    "aiokafka.producer": "commit",
    "consumer.kafka.store": "commit",
    "consumer.kafka.transaction": "commit",
    "consumer.kafka.state_records": "commit",
    "consumer.partition_runner": "commit",
    "consumer.core.partition.ledger": "commit",
    "consumer.codecs": "decode",
    "consumer.decode_window": "decode",
    "consumer.core.audio.samples": "decode",
    "consumer.core.audio.format_hints": "decode",
    "consumer.core.text": "judge",
    "consumer.core.audio.loudness": "judge",
    "consumer.core.scheduling": "plan",
    "consumer.engine": "plan",
    "consumer.core": "session",
    "consumer.pipeline": "session",
    "consumer.broadcast_queue": "partials",
    "consumer.kafka.broadcast": "partials",
}
LOOP: Final = "loop"  # asyncio, sockets, and all other code of the main thread
# Threads by the beginning of their name.
THREADS: Final[Mapping[str, str]] = {"detector": "detect", "model": "stub engine"}
OTHER_THREADS: Final = "other threads"


def part_of(frame: FrameType | None) -> str:
    """Return the part of the innermost frame that is of one."""
    while frame is not None:
        if (part := _part_of_module(frame.f_globals.get("__name__", ""))) is not None:
            return part
        frame = frame.f_back
    return LOOP


def _part_of_module(name: str) -> str | None:
    while name:
        if (part := PARTS.get(name)) is not None:
            return part
        name = name.rpartition(".")[0]
    return None


class CpuParts:
    """The processor time of this process by part. To be started in the main thread."""

    def __init__(self) -> None:
        self._loop: Counter[str] = Counter()
        self._sampled_s = 0.0
        self._before: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to sample, and count from now on."""
        self._sampled_s = time.thread_time()
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        self.reset()

    def reset(self) -> None:
        """Count from now on."""
        self._before = self._total()

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each part since `reset`."""
        total = self._total()
        return {part: total[part] - self._before[part] for part in total}

    def _sample(self, _: int, frame: FrameType | None) -> None:
        now_s = time.thread_time()
        self._loop[part_of(frame)] += now_s - self._sampled_s  # type: ignore[assignment]
        self._sampled_s = now_s

    def _total(self) -> Counter[str]:
        threads = _thread_seconds()
        left = time.process_time() - time.thread_time() - sum(threads.values())
        unsampled = Counter({LOOP: time.thread_time() - self._sampled_s})
        return Counter({**threads, OTHER_THREADS: left}) + self._loop + unsampled


def _thread_seconds() -> Counter[str]:
    """Return the processor time of the named threads."""
    found: Counter[str] = Counter()
    for thread in threading.enumerate():
        part = next((p for name, p in THREADS.items() if thread.name.startswith(name)), None)
        if part is not None and thread.ident is not None:
            clock = time.pthread_getcpuclockid(thread.ident)
            found[part] += time.clock_gettime(clock)  # type: ignore[assignment]
    return found
