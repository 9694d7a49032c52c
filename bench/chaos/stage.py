"""All that a run needs, brought up and taken down: brokers, topics, links, workers, readers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.chaos.arena import GROUP, Arena
from bench.chaos.faults import Fault
from bench.chaos.publish import Publishers
from bench.chaos.readers import Book, follow
from bench.chaos.right_faults import broker_settings, worker_settings
from bench.chaos.slots import Slot
from bench.chaos.takes import Script
from bench.recordings import recordings
from consumer.core.audio.samples import from_float
from devstack.kafka import LocalKafka
from devstack.proxy import Link
from schemas.topics import Topics
from transport.cluster import create_topics

HANG_S: Final = 40.0  # the service waits for 60: a run has other things to do


@dataclass(frozen=True, slots=True)
class Play:
    """What is to be run."""

    brokers: int
    workers: int
    streams: int
    partitions: int
    seconds: float
    faults: tuple[Fault, ...]
    seed: int
    data: Path  # clips and a manifest
    drain_s: float  # at most, from the last record to the verdict
    mischief: float = 0.03  # probability that something happens to a published record
    worker: tuple[str, ...] = ()  # arguments of the workers
    model: str = ""  # of the workers, if they run Whisper
    long: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)  # of the workers, over the usual ones

    @property
    def names_samples(self) -> bool:
        return not self.model

    def script(self) -> Script:
        clips = [from_float(clip.samples) for clip in recordings(self.data)]
        return Script(clips, self.seed)


@asynccontextmanager
async def stage(play: Play, folder: Path) -> AsyncIterator[Arena]:
    """Logs and data lie in `folder`. Everything runs, but nothing is published yet."""
    topics = Topics()
    names = [f"W{number}" for number in range(1, play.workers + 1)]
    async with AsyncExitStack() as held:
        kafka = LocalKafka(
            play.brokers,
            data=folder / "kafka",
            links=names,
            settings=broker_settings(names),
        )
        await held.enter_async_context(kafka)
        await create_topics(kafka.bootstrap, topics, partitions=play.partitions)
        links = [await held.enter_async_context(Link(kafka.routes(name))) for name in names]
        publishers = Publishers(kafka.bootstrap, topics.audio, play.script(), play.mischief)
        await held.enter_async_context(publishers)
        book, settings = Book(), _settings(play) | worker_settings(folder)
        slots = [
            Slot(name, link, settings, folder, play.worker)
            for name, link in zip(names, links, strict=True)
        ]
        served = [slot.run() for slot in slots]
        await held.enter_async_context(_running(*served, *_readers(kafka, topics, book)))
        yield Arena(
            kafka=kafka,
            topics=topics,
            slots=slots,
            publishers=publishers,
            book=book,
            rng=random.Random(play.seed),
            long=play.long,
            hang_s=HANG_S,
        )


def _settings(play: Play) -> dict[str, str]:
    """Of the workers. Outages must not end streams: their sessions would begin anew."""
    return {
        "group": GROUP,
        "language": "en",
        "words": "false",
        "threads": "1",
        "engine_timeout_s": str(HANG_S),
        "idle_s": "3600",
        "model": play.model,
        **play.settings,
    }


def _readers(kafka: LocalKafka, topics: Topics, book: Book) -> list[Coroutine[Any, Any, None]]:
    takers = {
        topics.audio: book.audio,
        topics.transcripts: book.event,
        topics.audio_dlq: book.letter,
    }
    return [follow(kafka.bootstrap, topic, take) for topic, take in takers.items()]


@asynccontextmanager
async def _running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """For as long as the body runs."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        yield
        for task in tasks:
            task.cancel()
