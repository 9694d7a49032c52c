"""Messages for missing Kafka rights: which resource, and how to grant them."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from transport.security import Security

_RESOURCES = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional id",
    ClusterAuthorizationFailedError: "cluster, nor write to any topic",
}


def authorization_problem(error: KafkaError, security: Security) -> str | None:
    """Return one line that names the resource, or None for an error of another kind."""
    for kind, resource in _RESOURCES.items():
        if isinstance(error, kind):
            who = security.user or "an anonymous client"
            named = " ".join((resource, ", ".join(_names(error)))).strip()
            return f"{who} may not use the {named}: `streamscribe acls` lists and grants the rights"
    return None


def missing_topic(bootstrap: str, topic: str, security: Security) -> str:
    """Return one line for a topic that is missing, or hidden from a user without rights on it."""
    hidden = f", or grant {security.user} rights (`streamscribe acls`)" if security.user else ""
    return (
        f"{bootstrap} has no topic {topic}: check the name, or run `streamscribe topics create`"
        f"{hidden}"
    )


def _names(error: KafkaError) -> list[str]:
    """Return the names in the error's argument, which is one name or a set."""
    (argument,) = error.args or ("",)
    many = isinstance(argument, Iterable) and not isinstance(argument, str)
    return sorted(map(str, argument)) if many else [str(argument)]
