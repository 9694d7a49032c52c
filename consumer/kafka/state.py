"""The state topic: one compacted record for every partition and every stream of each group.

    P|<group>|<topic>            PartitionState
    S|<group>|<topic>|<stream>   StreamState; no value: forgotten
    O|<group>|<topic>            who opened the partition last

The state of input partition p is written to partition p, so two groups, or the live and the bulk
topic, share it and never meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeVar

import msgspec

from consumer.core.progress import Commit
from consumer.core.state import Halt, PartitionState, StreamState

VERSION: Final = 1  # of the records: a reader refuses a newer one

_T = TypeVar("_T")


class StateRecord(NamedTuple):
    """One record as Kafka takes it."""

    key: bytes
    value: bytes | None


class _Versioned(msgspec.Struct):
    v: int
    state: msgspec.Raw


def encode_states(group: str, commit: Commit) -> list[StateRecord]:
    """What a commit writes down."""
    topic = commit.partition.topic
    streams = [
        StateRecord(
            _stream_prefix(group, topic) + name.encode(), None if state is None else _encode(state)
        )
        for name, state in commit.streams
    ]
    return [*streams, StateRecord(_partition_key(group, topic), _encode(commit.state))]


def decode_states(
    group: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]
) -> tuple[PartitionState | None, dict[str, StreamState]]:
    """What the newest record of each key says, of this group and topic.

    Raises `Halt` for a record that cannot be read, or that a newer version wrote.
    """
    newest = {key: value for key, value in records if key is not None}
    of_partition = newest.get(_partition_key(group, topic))
    prefix = _stream_prefix(group, topic)
    streams = {
        key.removeprefix(prefix).decode(): _decode(key, value, StreamState)
        for key, value in newest.items()
        if key.startswith(prefix) and value is not None
    }
    if of_partition is None:
        return None, streams
    return _decode(_partition_key(group, topic), of_partition, PartitionState), streams


def encode_opened(group: str, topic: str, worker: str) -> StateRecord:
    """What whoever opens a partition writes first, and reads through."""
    return StateRecord(f"O|{group}|{topic}".encode(), worker.encode())


def keys_of(
    group: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]
) -> list[bytes]:
    """Of all streams of this group and topic that anything is known of, readable or not."""
    newest = dict(records)
    prefix = _stream_prefix(group, topic)
    return [key for key, value in newest.items() if key and value and key.startswith(prefix)]


def encode_reset(
    group: str, topic: str, offset: int, streams: Iterable[bytes]
) -> list[StateRecord]:
    """A partition that is read on from `offset`, as if nothing had been open."""
    state = PartitionState(offset, offset)
    gone = [StateRecord(key, None) for key in streams]
    return [*gone, StateRecord(_partition_key(group, topic), _encode(state))]


def _partition_key(group: str, topic: str) -> bytes:
    return f"P|{group}|{topic}".encode()


def _stream_prefix(group: str, topic: str) -> bytes:
    return f"S|{group}|{topic}|".encode()


def _encode(state: PartitionState | StreamState) -> bytes:
    return msgspec.json.encode({"v": VERSION, "state": state})


def _decode(key: bytes, value: bytes, kind: type[_T]) -> _T:
    try:
        record = msgspec.json.decode(value, type=_Versioned)
        if record.v > VERSION:
            raise Halt(
                f"state record {key!r} is of version {record.v}, this worker reads {VERSION}: "
                "upgrade it"
            )
        return msgspec.json.decode(record.state, type=kind)
    except msgspec.MsgspecError as error:
        raise Halt(f"state record {key!r} cannot be read: {error}") from error
