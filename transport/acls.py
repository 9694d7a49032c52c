"""Who needs which rights in Kafka: one role a side of the wire, and nothing more than it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from schemas.topics import Topics


class Role(StrEnum):
    WORKER = "worker"
    PUBLISHER = "publisher"  # audio in; no transactions: an open one would stall the worker
    READER = "reader"  # transcripts out, without a consumer group
    OPERATOR = "operator"  # topics, dead letters and their way back


class Resource(StrEnum):
    """As kafka-acls.sh names them."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"


class Operation(StrEnum):
    """Read and Write bring Describe with them."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DESCRIBE_CONFIGS = "DescribeConfigs"


@dataclass(frozen=True, slots=True)
class Acl:
    """One right that is allowed."""

    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False  # the name is what the resources' names begin with

    def command(self, principal: str) -> str:
        """As arguments of Kafka's own tool."""
        pattern = " --resource-pattern-type prefixed" if self.prefixed else ""
        return (
            f"kafka-acls.sh --add --allow-principal {principal} --operation {self.operation}"
            f" --{self.resource} {self.name}{pattern}"
        )


def transactional_id_prefix(group: str) -> str:
    """What the transactional ids of a group's workers begin with."""
    return f"stt.{group}."


def acls(role: Role, topics: Topics, group: str) -> Iterator[Acl]:
    """All that the role needs on these topics; `group`: the workers' consumer group."""
    audio = (topics.audio, topics.audio_bulk)
    out = (topics.transcripts, topics.partials)
    match role:
        case Role.WORKER:
            yield from _on((*audio, topics.state), Operation.READ)
            yield from _on((*out, topics.audio_dlq, topics.state), Operation.WRITE)
            yield from _on(topics, Operation.DESCRIBE_CONFIGS)
            yield Acl(Resource.GROUP, group, Operation.READ)
            prefix = transactional_id_prefix(group)
            yield Acl(Resource.TRANSACTIONAL_ID, prefix, Operation.WRITE, prefixed=True)
        case Role.PUBLISHER:
            yield from _on(audio, Operation.WRITE)
        case Role.READER:
            yield from _on(out, Operation.READ)
        case Role.OPERATOR:
            yield from _on(topics, Operation.CREATE)
            yield from _on(topics, Operation.READ)
            yield from _on(topics, Operation.DESCRIBE_CONFIGS)
            yield from _on(audio, Operation.WRITE)


def _on(names: Topics | tuple[str, ...], operation: Operation) -> Iterator[Acl]:
    return (Acl(Resource.TOPIC, name, operation) for name in names)
