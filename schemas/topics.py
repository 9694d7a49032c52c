"""Topics: their names, the rule for keys, and the settings that the delivery guarantees need.

Every topic has the same partition count, because the state, the transcripts and the dead letters
of input partition p are written to partition p. Publishers pick p from the key with murmur2, as
Java clients and aiokafka do by default; librdkafka does when asked (`partitioner=murmur2_random`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.audio import MAX_HEADER_BYTES, MAX_RECORD_BYTES

MAX_STREAM_ID_CHARACTERS = 128
_STREAM_ID = re.compile(rf"[A-Za-z0-9._:-]{{1,{MAX_STREAM_ID_CHARACTERS}}}")
_TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")  # Kafka's own rule

_FRAMING_BYTES = 8 << 10  # a batch's and a record's own fields, and the key
MAX_MESSAGE_BYTES = MAX_RECORD_BYTES + MAX_HEADER_BYTES + _FRAMING_BYTES  # of an audio topic
_HOUR_MS = 3_600_000
_MAX_DEAD_LETTER_BYTES = 4 << 20  # the original record, and the reason
_DATASETS: Final = {
    "audio": "audio.v1",
    "audio_bulk": "audio.bulk.v1",
    "transcripts": "transcripts.v1",
    "partials": "partials.v1",
    "audio_dlq": "audio.dlq.v1",
    "state": "state.v1",
}


def valid_stream_id(stream_id: str) -> bool:
    """Return whether a record key, decoded as UTF-8, is a stream id."""
    return _STREAM_ID.fullmatch(stream_id) is not None


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of all topics. An empty name is derived from the prefix.

    Raises ValueError for a name that Kafka would reject, or that two topics share.
    """

    prefix: str = "speech"
    audio: str = ""  # live audio
    audio_bulk: str = ""  # files and replays faster than real time
    transcripts: str = ""  # finals and stream events: the output
    partials: str = ""  # interim results, outside transactions
    audio_dlq: str = ""  # dead letters: rejected records and the reasons
    state: str = ""  # private: progress, written in the transactions of the finals

    def __post_init__(self) -> None:
        for role, dataset in _DATASETS.items():
            object.__setattr__(self, role, getattr(self, role) or f"{self.prefix}.{dataset}")
        for name in self:
            if not _TOPIC_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no topic name: use 1-249 of [A-Za-z0-9._-]")
        if len(set(self)) < len(_DATASETS):
            raise ValueError(f"two topics have the same name: {', '.join(self)}")

    def __iter__(self) -> Iterator[str]:
        return (getattr(self, role) for role in _DATASETS)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """The configuration that one topic must have."""

    name: str
    required: Mapping[str, str | int]  # by Kafka's names; text: equal to it; a number: at least
    initial: Mapping[str, str] = field(default_factory=dict)  # set at creation, may be changed


@dataclass(frozen=True, slots=True)
class TopicFound:
    """The configuration that one topic has."""

    name: str
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]


def topic_specs(topics: Topics, replication_factor: int) -> tuple[TopicSpec, ...]:
    """Return the spec of every topic for that many replicas, in the order of `Topics`."""
    durable: dict[str, str | int] = {
        "min.insync.replicas": max(1, replication_factor - 1),
        "unclean.leader.election.enable": "false",
    }
    # LogAppendTime: stream limits and idle ends are measured in it, so that a replay decides alike.
    # Uncompressed: codecs gain nothing on PCM, and the broker unpacks a bomb before workers would.
    audio: dict[str, str | int] = durable | {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "compression.type": "uncompressed",
        "max.message.bytes": MAX_MESSAGE_BYTES,
    }
    events: dict[str, str | int] = durable | {"cleanup.policy": "delete"}
    dead: dict[str, str | int] = events | {"max.message.bytes": _MAX_DEAD_LETTER_BYTES}
    state: dict[str, str | int] = durable | {"cleanup.policy": "compact"}
    zstd = {"compression.type": "zstd"}
    return (
        TopicSpec(topics.audio, audio, _kept(hours=24)),
        TopicSpec(topics.audio_bulk, audio, _kept(hours=24)),
        TopicSpec(topics.transcripts, events, zstd | _kept(hours=7 * 24)),
        TopicSpec(topics.partials, events, zstd | _kept(hours=1)),
        TopicSpec(topics.audio_dlq, dead, _kept(hours=7 * 24)),
        # Small segments: a restore reads little more than the newest, uncompacted one.
        TopicSpec(topics.state, state, {"segment.bytes": str(16 << 20), "segment.ms": "600000"}),
    )


def _kept(*, hours: int) -> dict[str, str]:
    """Return retention settings; a segment, which Kafka deletes as a whole, spans a twelfth."""
    retention_ms = hours * _HOUR_MS
    return {"retention.ms": str(retention_ms), "segment.ms": str(retention_ms // 12)}


def differences(
    topics: Topics, found: Sequence[TopicFound], *, partitions: int | None = None
) -> list[str]:
    """Return one line for each deviation from the specs, with the command that fixes it.

    `partitions`: the count that all topics must have; None: that of the first topic found.
    """
    by_name = {topic.name: topic for topic in found}
    present = [by_name[name] for name in topics if name in by_name]
    missing = [name for name in topics if name not in by_name]
    return [
        *(f"{name}: missing; run `streamscribe topics create`" for name in missing),
        *partition_differences(present, partitions),
        *(line for topic in present for line in _wrong_settings(topics, topic)),
    ]


def partition_differences(found: Sequence[TopicFound], partitions: int | None = None) -> list[str]:
    """Return one line for each topic with another count than `partitions`, or the first's."""
    if not found:
        return []
    expected = partitions or found[0].partitions
    return [
        f"{topic.name}: {topic.partitions} partitions, not {expected}; adding some would move "
        "streams: delete it and run `streamscribe topics create`, or choose another prefix"
        for topic in found
        if topic.partitions != expected
    ]


def _wrong_settings(topics: Topics, topic: TopicFound) -> list[str]:
    (spec,) = (s for s in topic_specs(topics, topic.replication_factor) if s.name == topic.name)
    return [
        f"{topic.name}: {key} is {topic.settings.get(key)}, must be "
        f"{'at least ' if isinstance(value, int) else ''}{value}; run `kafka-configs.sh --alter "
        f"--entity-type topics --entity-name {topic.name} --add-config {key}={value}`"
        for key, value in spec.required.items()
        if not _holds(value, topic.settings.get(key))
    ]


def _holds(required: str | int, actual: str | None) -> bool:
    if actual is None:
        return False
    return int(actual) >= required if isinstance(required, int) else actual == required
