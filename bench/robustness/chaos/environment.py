"""What faults act on: brokers, workers with links of their own, publishers and readers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from bench.quality.recordings import recordings
from bench.robustness.chaos.event_log import EventLog, read_progress
from bench.robustness.chaos.evidence import DeletedRange, PartitionProgress
from bench.robustness.chaos.process_slots import ProcessSlot, wait_until
from bench.robustness.chaos.publishers import Publishers
from bench.robustness.chaos.test_streams import Header, StreamScript
from bench.robustness.chaos.worker_slots import WorkerSlot, engine_slot
from consumer.core.audio.samples import from_float
from consumer.core.streams.records import Partition
from consumer.kafka.transaction import transactional_id
from devstack.errors import DevstackError
from devstack.kafka import LocalKafka
from devstack.kafka_node import CONTROLLER_PRINCIPAL
from devstack.proxy import Link
from schemas.topics import Topics
from transport.cluster import admin_client, create_topics
from transport.security import Security

ENGINE_TIMEOUT_S: Final = 40.0  # the service's own is 60: it would only lengthen the run
_READY_S: Final = 150.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault; `run` returns the proof that it happened, or raises `NotFired`.

    It may leave things broken: the run heals them afterwards.
    """

    name: str
    row: int  # of the fault matrix
    run: Callable[[ChaosEnvironment], Awaitable[str]]
    brokers: int = 1  # at least
    engine_process: bool = False  # whether it needs one


@dataclass(frozen=True, slots=True)
class ChaosScenario:
    """What is to be run."""

    data: Path  # clips and a manifest
    seed: int
    streams: int  # ids that are published at a time
    workers: Sequence[str]  # names
    partitions: int
    drain_s: float  # at most, from the last record to the verdict
    brokers: int = 1
    name: str = "chaos"  # of the group, and prefix of the topics
    faults: tuple[Fault, ...] = ()
    seconds: float = 0.0  # of faults, at most
    rounds: int | None = None  # how often each fault is tried, at most
    rest_s: tuple[float, float] = (5.0, 9.0)  # between two faults
    worker: tuple[str, ...] = ()  # arguments of the workers
    model: str = ""  # of the workers, if they run Whisper
    long: bool = False  # faults last as long as the matrix states
    settings: Mapping[str, str] = field(default_factory=dict)  # of the workers
    engine: str = "oracle"  # what transcribes: oracle or whisper
    engine_process: bool = False  # whether it is a process of its own

    def script(self) -> StreamScript:
        clips = [from_float(clip.samples) for clip in recordings(self.data)]
        return StreamScript(clips, self.seed)


@dataclass(frozen=True, slots=True)
class Kill:
    """A worker that ended without leaving its group."""

    at_s: float  # monotonic
    partitions: frozenset[int]  # that it served


@dataclass(slots=True)
class ChaosEnvironment:
    """All that runs, and what faults record of themselves."""

    scenario: ChaosScenario
    kafka: LocalKafka
    topics: Topics
    slots: list[WorkerSlot]
    engine: ProcessSlot | None  # None: each worker has its own
    publishers: Publishers
    log: EventLog
    rng: random.Random
    kills: list[Kill] = field(default_factory=list)
    deleted: list[DeletedRange] = field(default_factory=list)
    resumed_s: list[float] = field(default_factory=list)  # from an engine that is ready to a final

    @property
    def group(self) -> str:
        return self.scenario.name

    @property
    def processes(self) -> list[ProcessSlot]:
        return [*self.slots, *([] if self.engine is None else [self.engine])]

    def model_of(self, slot: WorkerSlot) -> ProcessSlot:
        """Return the slot of the process that transcribes for a worker."""
        return self.engine or slot

    def any_slot(self) -> WorkerSlot:
        return self.rng.choice(self.slots)

    def any_partition(self) -> int:
        return self.rng.choice(sorted(self.log.read) or [0])

    def any_transactional_id(self) -> str:
        """Return the id with which a worker serves some partition."""
        return transactional_id(self.group, Partition(self.topics.audio, self.any_partition()))

    def admin(self) -> AbstractAsyncContextManager[AIOKafkaAdminClient]:
        return admin_client(self.kafka.bootstrap, Security())

    async def leader(self, topic: str, partition: int) -> int:
        """Return the leading node of a partition."""
        async with self.admin() as admin:
            (described,) = await admin.describe_topics([topic])
        leaders = {each["partition"]: each["leader"] for each in described["partitions"]}
        return int(leaders[partition])

    async def progress(self) -> dict[int, PartitionProgress]:
        return await read_progress(self.kafka.bootstrap, self.topics, self.group)

    async def publish(
        self, topic: str, partition: int, key: bytes, value: bytes | None, *headers: Header
    ) -> int:
        """Publish a record in a batch of its own; return its offset."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap) as producer:
            sent = await producer.send_and_wait(topic, value, key, partition, headers=headers)
        return int(sent.offset)

    async def until_ready(self) -> None:
        """Return when all workers are ready. Raises `DevstackError`."""
        if not await wait_until(lambda: all(slot.url for slot in self.processes), _READY_S):
            raise DevstackError(
                f"not all workers were ready after {_READY_S:.0f} s: see {self.slots[0].log_file}"
            )

    async def heal(self) -> None:
        """Return when all brokers and workers run again. Raises `DevstackError`."""
        for slot in self.processes:
            slot.heal()
        for node in self.kafka.nodes:
            self.kafka.resume(node)
        if ended := self.kafka.exit_codes():
            await self.kafka.restart(*ended)
        await self.until_ready()


def cluster(brokers: int, workers: Sequence[str], data: Path | None = None) -> LocalKafka:
    """Return brokers with a link for each worker, not started; no ACL limits any client."""
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": CONTROLLER_PRINCIPAL,
    }
    return LocalKafka(brokers, data=data, links=workers, settings=settings)


@asynccontextmanager
async def environment(
    scenario: ChaosScenario, folder: Path, kafka: LocalKafka | None = None
) -> AsyncIterator[ChaosEnvironment]:
    """Start all that a scenario needs; nothing is published yet.

    `folder`: of logs and data. `kafka`: a running `cluster`, or None for one of its own.
    """
    topics, log = Topics(scenario.name), EventLog()
    async with AsyncExitStack() as stack:
        if kafka is None:
            kafka = cluster(scenario.brokers, scenario.workers, folder / "kafka")
            await stack.enter_async_context(kafka)
        await create_topics(kafka.bootstrap, topics, partitions=scenario.partitions)
        publishers = Publishers(kafka.bootstrap, topics.audio, scenario.script())
        await stack.enter_async_context(publishers)
        settings, engine = _settings(scenario), None
        if scenario.engine_process:
            socket = folder / "engine.sock"
            engine = engine_slot(socket, settings, folder, ("--engine", scenario.engine))
            settings["engine"] = str(socket)
        arguments = ("--engine", scenario.engine, *scenario.worker)
        slots = []
        for name in scenario.workers:
            link = await stack.enter_async_context(Link(kafka.routes(name)))
            slots.append(WorkerSlot(name, link, settings, folder, arguments))
        env = ChaosEnvironment(
            scenario, kafka, topics, slots, engine, publishers, log, random.Random(scenario.seed)
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(slot.run()) for slot in env.processes]
            tasks.append(group.create_task(log.follow(kafka.bootstrap, topics)))
            yield env
            for task in tasks:
                task.cancel()


def _settings(scenario: ChaosScenario) -> dict[str, str]:
    """Return the workers' settings. Outages must not end streams: new sessions would begin."""
    return {
        "group": scenario.name,
        "prefix": scenario.name,
        "language": "en",
        "words": "false",
        "threads": "1",
        "engine_timeout_s": str(ENGINE_TIMEOUT_S),
        "idle_s": "3600",
        "model": scenario.model,
        **scenario.settings,
    }
