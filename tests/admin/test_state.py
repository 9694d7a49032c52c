"""`streamscribe state` with a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from aiokafka import AIOKafkaProducer

from admin import state
from consumer.core.partition.commit import Commit
from consumer.core.partition.state import GroupOffset, PartitionState
from consumer.core.streams.records import Partition
from consumer.core.streams.state import StreamState
from consumer.errors import Fenced
from consumer.kafka.store import KafkaJournal, KafkaStore
from consumer.kafka.transaction import Output, TransactionalProducer
from devstack.kafka import LocalKafka
from schemas.topics import Topics
from transport.credentials import Credentials
from transport.security import Security

CREDENTIALS = Credentials(Security())
Run: TypeAlias = Callable[..., Awaitable[tuple[int, str]]]


class Info:
    """Owns every partition; the log has three records and no group offset."""

    def owns(self, partition: Partition) -> bool:
        return True

    async def group_offset(self, partition: Partition) -> GroupOffset | None:
        return None

    async def offset_range(self, partition: Partition) -> tuple[int, int]:
        return 0, 3


async def serve(kafka: LocalKafka, topics: Topics, next_offset: int) -> KafkaJournal:
    """Write three records to partition 0, and state with this `next_offset` and one open stream.

    Returns the open journal.
    """
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for _ in range(3):
            await producer.send_and_wait(topics.audio, b"\0\0", key=b"s", partition=0)
    live = Partition(topics.audio, 0)
    store = KafkaStore(kafka.bootstrap, CREDENTIALS, topics, "calls", Info(), "worker")
    journal = await store.open(live)
    stream = StreamState(1, 2, 0, None, None)
    state = PartitionState(next_offset, 1, clean=False)
    await journal.commit(progress(topics, state, s=stream))
    return journal


def progress(topics: Topics, state: PartitionState, **streams: StreamState) -> Commit:
    """Return a commit without output."""
    live = Partition(topics.audio, 0)
    return Commit(live, 1, (), (), state, tuple(streams.items()), (), 0, ())


@pytest.fixture
def run(kafka: LocalKafka, topics: Topics, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command and returns its exit code and output."""

    async def command(action: str, *more: str) -> tuple[int, str]:
        where = ("--bootstrap", kafka.bootstrap, "--prefix", topics.prefix, "--group", "calls")
        code = await asyncio.to_thread(state.main, [action, *where, *more])
        out, err = capsys.readouterr()
        return code, out + err

    return command


async def test_show_prints_every_partition(kafka: LocalKafka, topics: Topics, run: Run) -> None:
    await (await serve(kafka, topics, 2)).close()
    code, output = await run("show")
    assert code == 0
    lines = [line.split() for line in output.splitlines()]
    assert lines[1] == [topics.audio, *["0", "0", "1", "2", "3", "0", "served", "or", "crashed"]]
    assert lines[2] == [topics.audio, *["1", "0", "0", "not", "read", "yet"]]
    assert len(lines) == 9


async def test_show_explains_why_a_partition_is_halted_and_reset_ends_the_halt(
    kafka: LocalKafka, topics: Topics, run: Run
) -> None:
    journal = await serve(kafka, topics, 99)
    code, output = await run("show")
    assert code == 1
    assert "offset 99 was read before, but the log ends at 3" in output
    code, output = await run("reset", "--partition", "0", "--to", "2")
    assert code == 0
    assert "Add --yes" in output
    assert (await run("show"))[0] == 1
    assert (await run("reset", "--partition", "0", "--to", "2", "--yes"))[0] == 0
    with pytest.raises(Fenced):
        await journal.commit(
            Commit(Partition(topics.audio, 0), 1, (), (), PartitionState(3, 3), (), (), 0, ())
        )
    await journal.close()
    code, output = await run("show")
    assert code == 0
    assert output.splitlines()[1].split()[2:] == ["0", "2", "2", "3", "0", "closed", "cleanly"]


async def test_unreadable_state_can_be_reset(kafka: LocalKafka, topics: Topics, run: Run) -> None:
    await (await serve(kafka, topics, 2)).close()
    producer = TransactionalProducer(kafka.bootstrap, CREDENTIALS, "other")
    await producer.start()
    key = f"S|calls|{topics.audio}|s".encode()
    await producer.write([Output(topics.state, 0, key, b"garbage")])
    await producer.close()
    code, output = await run("show")
    assert code == 1
    assert "cannot be read" in output
    assert (await run("reset", "--partition", "0", "--to", "earliest", "--yes"))[0] == 0
    assert (await run("show"))[0] == 0


@pytest.mark.parametrize("offset", ["4", "-1", "soon"])
async def test_an_offset_outside_the_log_is_rejected(
    kafka: LocalKafka, topics: Topics, run: Run, offset: str
) -> None:
    await (await serve(kafka, topics, 2)).close()
    code, output = await run("reset", "--partition", "0", f"--to={offset}", "--yes")
    assert code == 2
    assert "--to must be an offset from 0 to 3, earliest or latest" in output


async def test_an_unknown_partition_is_reported(topics: Topics, run: Run) -> None:
    code, output = await run("reset", "--partition", "9", "--to", "latest")
    assert code == 1
    assert f"{topics.audio} has no partition 9" in output


async def test_all_partitions_of_a_topic_are_reset_at_once(
    kafka: LocalKafka, topics: Topics, run: Run
) -> None:
    await (await serve(kafka, topics, 99)).close()
    code, output = await run("reset", "--all", "--to", "latest")
    assert code == 0
    assert output.count("would resume") == 4
    assert "Add --yes" in output
    assert (await run("show"))[0] == 1
    code, output = await run("reset", "--all", "--to", "latest", "--yes")
    assert code == 0
    assert output.count("resumes at offset") == 4
    code, output = await run("show")
    assert code == 0
    ended = [line for line in output.splitlines() if "closed cleanly" in line]
    assert [line.split()[:5:4] for line in ended] == [
        [topics.audio, "3"],
        *[[topics.audio, "0"]] * 3,
    ]


async def test_an_offset_outside_the_log_of_one_partition_resets_none(
    kafka: LocalKafka, topics: Topics, run: Run
) -> None:
    await (await serve(kafka, topics, 99)).close()
    code, output = await run("reset", "--all", "--to", "2", "--yes")
    assert code == 2
    assert "--to must be an offset from 0 to 0" in output
    assert (await run("show"))[0] == 1
