"""The Kafka ACLs of each role: the rights that it needs and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from schemas.topics import Topics


class Role(StrEnum):
    WORKER = "worker"
    PUBLISHER = "publisher"  # audio in; no transactions: an open one would stall the worker
    READER = "reader"  # transcripts out, without a consumer group
    OPERATOR = "operator"  # creates topics, reads dead letters and sends them back


class Resource(StrEnum):
    """Resource types by the names of kafka-acls.sh."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"


class Operation(StrEnum):
    """Operations by Kafka's names. Read and Write imply Describe."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DESCRIBE_CONFIGS = "DescribeConfigs"


@dataclass(frozen=True, slots=True)
class Acl:
    """One allowed operation on a resource."""

    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False  # `name` is a prefix of the resources' names

    def command(self, principal: str) -> str:
        """Return the command of Kafka's own tool that grants it."""
        pattern = " --resource-pattern-type prefixed" if self.prefixed else ""
        return (
            f"kafka-acls.sh --add --allow-principal {principal} --operation {self.operation}"
            f" --{self.resource} {self.name}{pattern}"
        )


def transactional_id_prefix(group: str) -> str:
    """Return the prefix of the transactional ids of a group's workers."""
    return f"stt.{group}."


def acls(role: Role, topics: Topics, group: str) -> Iterator[Acl]:
    """Yield the ACLs of a role on these topics; `group`: the workers' consumer group."""
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
