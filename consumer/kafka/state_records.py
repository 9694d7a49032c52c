"""The records of the state topic, one compacted record a key.

    P|<group>|<topic>            PartitionState
    S|<group>|<topic>|<stream>   StreamState; a null value deletes it
    O|<group>|<topic>            the worker that opened the partition last

The state of input partition p is written to partition p of the state topic. Two groups, or the live
and the bulk topic, share that partition, and their keys differ.

The JSON names of the values are persisted: they stay when a field of `consumer.core` is renamed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

import msgspec

from consumer.core.partition.commit import Commit
from consumer.core.partition.state import Halt, PartitionState
from consumer.core.streams.language import UNKNOWN, LanguageHold
from consumer.core.streams.state import Digest, Identity, StreamState
from schemas.audio import StreamOptions

VERSION: Final = 1  # of the records; a reader rejects a newer one

_ADDED: Final = frozenset(
    (
        "run",
        "left_run",
        "repeated_to",
        "warned",
        "wrapped",
        "options",
        "recent",
        "no_speech_samples",
    )
)

_T = TypeVar("_T")


class StateRecord(NamedTuple):
    """The key and value of a record to write."""

    key: bytes
    value: bytes | None


class _Versioned(msgspec.Struct):
    v: int
    state: msgspec.Raw


class _Order(msgspec.Struct):
    rate: int
    channels: int
    end: int
    first_seq: int | None
    first: Identity
    next_seq: int | None
    last_samples: int
    positioned: bool
    uncertain: bool = False
    over: bool = False
    run: str | None = None
    left_run: str | None = None
    repeated_to: int | None = None
    warned: tuple[str, ...] = ()
    wrapped: tuple[str, ...] = ()
    options: StreamOptions | None = None


class _Session(msgspec.Struct):
    session_id: str
    rate: int
    channels: int
    options: StreamOptions
    traceparent: str | None
    cut: int
    in_speech: bool
    origin: tuple[int, float]
    events: int
    utterances: int
    gaps: int
    audio_samples: int
    speech_samples: int
    attempts: int = msgspec.field(name="tries", default=0)
    language: LanguageHold = msgspec.field(name="held", default=UNKNOWN)  # an array in JSON
    no_speech_samples: int = 0
    warned: tuple[str, ...] = ()


class _Stream(msgspec.Struct):
    needed_offset: int | None = msgspec.field(name="needed")
    read_offset: int = msgspec.field(name="taken")
    last_ms: int
    order: _Order | None
    session: _Session | None
    decided_offsets: tuple[int, ...] = msgspec.field(name="done", default=())
    recent: tuple[Digest, ...] = ()


class _Tally(msgspec.Struct):
    accepted: int = 0
    duplicate: int = 0
    dead_letter: int = 0
    refused: int = 0


class _Arrivals(msgspec.Struct):
    level: float = 0.0
    time_ms: int = 0
    letter_ms: int | None = None


class _Partition(msgspec.Struct):
    next_offset: int
    resume_offset: int
    time_ms: int = 0
    clean: bool = True
    tally: _Tally = msgspec.field(default_factory=_Tally)
    arrivals: _Arrivals | None = None


def encode_states(group: str, commit: Commit) -> list[StateRecord]:
    """Return the state records of a commit."""
    topic = commit.partition.topic
    streams = [
        StateRecord(
            _stream_prefix(group, topic) + name.encode(),
            None if state is None else _encode_stream(state),
        )
        for name, state in commit.streams
    ]
    return [*streams, StateRecord(_partition_key(group, topic), _encode_partition(commit.state))]


def decode_states(
    group: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]
) -> tuple[PartitionState | None, dict[str, StreamState]]:
    """Return the newest states of this group and topic: of the partition, and by stream id.

    Raises `Halt` for a record that cannot be read, or that a newer version wrote.
    """
    newest = {key: value for key, value in records if key is not None}
    partition = newest.get(_partition_key(group, topic))
    prefix = _stream_prefix(group, topic)
    streams = {
        key.removeprefix(prefix).decode(): _decode_stream(key, value)
        for key, value in newest.items()
        if key.startswith(prefix) and value is not None
    }
    if partition is None:
        return None, streams
    return _decode_partition(_partition_key(group, topic), partition), streams


def encode_open_marker(group: str, topic: str, worker: str) -> StateRecord:
    """Return the record that a worker writes first when it opens a partition."""
    return StateRecord(f"O|{group}|{topic}".encode(), worker.encode())


def keys_of(
    group: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]
) -> list[bytes]:
    """Return the keys of all streams of this group and topic, unreadable records included."""
    newest = dict(records)
    prefix = _stream_prefix(group, topic)
    return [key for key, value in newest.items() if key and value and key.startswith(prefix)]


def encode_reset(
    group: str, topic: str, offset: int, streams: Iterable[bytes]
) -> list[StateRecord]:
    """Return the records that continue a partition at `offset` and delete the given stream keys."""
    state = PartitionState(offset, offset)
    deletions = [StateRecord(key, None) for key in streams]
    return [*deletions, StateRecord(_partition_key(group, topic), _encode_partition(state))]


def _partition_key(group: str, topic: str) -> bytes:
    return f"P|{group}|{topic}".encode()


def _stream_prefix(group: str, topic: str) -> bytes:
    return f"S|{group}|{topic}|".encode()


def _encode_partition(state: PartitionState) -> bytes:
    return _encode(msgspec.convert(state, _Partition, from_attributes=True))


def _encode_stream(state: StreamState) -> bytes:
    without = replace(state, recent=())  # the digests are what JSON writes: no need to convert them
    record = msgspec.to_builtins(msgspec.convert(without, _Stream, from_attributes=True))
    record["recent"] = state.recent
    for values in (record, record["order"] or {}, record["session"] or {}):
        for name in _ADDED & values.keys():
            if not values[name]:  # the first release wrote nothing in its place
                del values[name]
    return _encode(record)


def _encode(record: object) -> bytes:
    return msgspec.json.encode({"v": VERSION, "state": record})


def _decode_partition(key: bytes, value: bytes) -> PartitionState:
    return msgspec.convert(_decode(key, value, _Partition), PartitionState, from_attributes=True)


def _decode_stream(key: bytes, value: bytes) -> StreamState:
    return msgspec.convert(_decode(key, value, _Stream), StreamState, from_attributes=True)


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
