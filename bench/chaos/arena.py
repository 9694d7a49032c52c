"""Where faults happen: the brokers, the workers and their links, the publishers, the readers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

from bench.chaos.evidence import Deleted
from bench.chaos.publish import Publishers
from bench.chaos.readers import Book
from bench.chaos.slots import Exit, Slot
from devstack.kafka import LocalKafka
from schemas.topics import Topics

GROUP: Final = "chaos"
_ADMIN_S: Final = 20.0


class NotFired(Exception):  # noqa: N818 - it is no error: the fault does not count
    """There is no proof that the fault happened."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A worker that went without a word."""

    at_s: float  # monotonic
    partitions: frozenset[int]  # that it served


@dataclass(slots=True)
class Arena:
    kafka: LocalKafka
    topics: Topics
    slots: list[Slot]
    publishers: Publishers
    book: Book
    rng: random.Random
    long: bool  # as long as the fault matrix says, not shortened
    hang_s: float  # after which a worker gives its engine up
    kills: list[Kill] = field(default_factory=list)
    deleted: list[Deleted] = field(default_factory=list)

    def any_slot(self) -> Slot:
        return self.rng.choice(self.slots)

    def any_node(self) -> int:
        return self.rng.choice(self.kafka.nodes)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        client = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        async with asyncio.timeout(_ADMIN_S):
            await client.start()
            try:
                yield client
            finally:
                await client.close()

    async def heal(self) -> None:
        """Return when all brokers and all workers are up."""
        for slot in self.slots:
            slot.link.heal()
        for node in self.kafka.nodes:
            self.kafka.resume(node)
        if ended := self.kafka.exit_codes():
            await self.kafka.restart(*ended)
        await asyncio.gather(*(slot.ready() for slot in self.slots))

    async def exit_of(self, slot: Slot, after: int, within_s: float, code: int) -> Exit:
        """Raises `NotFired` unless the worker ends so."""
        try:
            async with asyncio.timeout(within_s):
                ended = await slot.exit(after)
        except TimeoutError:
            raise NotFired(f"{slot.name} has not ended within {within_s:.0f} s") from None
        if ended.code != code:
            raise NotFired(f"{slot.name} ended with {ended.code}, not {code}")
        return ended
