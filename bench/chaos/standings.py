"""How far the service says it has come: read from its state topic."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from bench.chaos.arena import GROUP, Arena
from bench.chaos.evidence import Standing
from bench.chaos.readers import ends, read_all
from consumer.kafka.state_records import decode_states


async def standings(arena: Arena) -> dict[int, Standing]:
    """Of every partition of the live topic, as committed now."""
    records: defaultdict[int, list[tuple[bytes | None, bytes | None]]] = defaultdict(list)

    def take(record: Any, _: float) -> None:
        records[record.partition].append((record.key, record.value))

    bootstrap, topics = arena.kafka.bootstrap, arena.topics
    await read_all(bootstrap, topics.state, take)
    found = {}
    for partition, end in (await ends(bootstrap, topics.audio)).items():
        state, _ = decode_states(GROUP, topics.audio, records[partition])
        found[partition] = (
            Standing(None, 0, end)
            if state is None
            else Standing(state.next_offset, state.resume_offset, end, asdict(state.tally))
        )
    return found
