"""Rights in a running cluster, by the one request of aiokafka's protocol that grants them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest

from consumer.errors import ConfigError
from consumer.kafka.topic_admin import admin_client
from schemas.acls import Acl, Operation, Resource
from schemas.security import Security

# Kafka's codes: org.apache.kafka.common.resource and .acl
_RESOURCES: Final = {Resource.TOPIC: 2, Resource.GROUP: 3, Resource.TRANSACTIONAL_ID: 5}
_OPERATIONS: Final = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.CREATE: 5,
    Operation.DESCRIBE_CONFIGS: 10,
}
_LITERAL, _PREFIXED = 3, 4
_ALLOW: Final = 3
_ANY_HOST: Final = "*"


async def grant(bootstrap: str, security: Security, principal: str, acls: Iterable[Acl]) -> None:
    """Allow the principal (`User:name`) all of these; those that it has already stay.

    Raises Retriable when Kafka does not answer, ConfigError when it refuses.
    """
    async with admin_client(bootstrap, security) as admin:
        for acl in acls:
            # No public way to; the exact version is pinned, and a test grants with it.
            response = await admin._send_request(_request(principal, acl))  # noqa: SLF001
            ((code, message),) = response.creation_responses
            if code:
                reason = message or for_code(code).__name__
                raise ConfigError(f"Kafka refuses to grant rights on {acl.name}: {reason}")


def _request(principal: str, acl: Acl) -> CreateAclsRequest:
    return CreateAclsRequest(
        _RESOURCES[acl.resource],
        acl.name,
        _PREFIXED if acl.prefixed else _LITERAL,
        principal,
        _ANY_HOST,
        _OPERATIONS[acl.operation],
        _ALLOW,
    )
