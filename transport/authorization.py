"""Rights that are missing, in words: which resource, and what grants it."""

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
    """One line that names the resource; None: the error is of another kind."""
    for kind, resource in _RESOURCES.items():
        if isinstance(error, kind):
            who = security.user or "whoever does not log in"
            named = " ".join((resource, ", ".join(_names(error)))).strip()
            return f"{who} may not use the {named}: `streamscribe acls` lists and grants the rights"
    return None


def missing_topic(bootstrap: str, topic: str, security: Security) -> str:
    """One line for a topic that Kafka does not show."""
    hidden = f", or let {security.user} see it (`streamscribe acls`)" if security.user else ""
    return (
        f"{bootstrap} has no topic {topic}: check the name, or run `streamscribe topics create`"
        f"{hidden}"
    )


def _names(error: KafkaError) -> list[str]:
    """Aiokafka gives a name, or a set of them."""
    (given,) = error.args or ("",)
    many = isinstance(given, Iterable) and not isinstance(given, str)
    return sorted(map(str, given)) if many else [str(given)]
