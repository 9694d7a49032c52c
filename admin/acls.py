"""`streamscribe acls`: list or grant the Kafka rights of a role."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest

from transport.acls import Acl, Operation, Resource, Role, acls
from transport.arguments import add_group, add_kafka, argument_type, security
from transport.cluster import admin_client
from transport.compat import send_admin_request
from transport.console import silence_client_log
from transport.errors import RequestRefused, TransportError
from transport.security import Security

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


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    silence_client_log()
    rights = list(acls(args.role, args.topics, args.group))
    for acl in rights:
        print(acl.command(args.principal))
    if not args.grant:
        return 0
    try:
        asyncio.run(grant(args.bootstrap, security(parser), args.principal, rights))
    except TransportError as error:
        print(f"streamscribe acls: {error}", file=sys.stderr)
        return 1
    print(f"granted to {args.principal}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamscribe acls",
        description="List the rights that a role needs, as commands of Kafka's own tool; with "
        "--grant also grant them.",
        epilog="Exit codes: 0 listed or granted; 1 Kafka does not answer or rejects it; 2 usage.",
    )
    parser.add_argument("role", type=Role, choices=list(Role), help="|".join(Role))
    parser.add_argument("principal", type=principal, metavar="User:NAME", help="who gets them")
    add_group(parser)
    parser.add_argument(
        "--grant", action="store_true", help="grant them; requires a user who may alter ACLs"
    )
    add_kafka(parser)
    return parser


@argument_type
def principal(text: str) -> str:
    kind, colon, name = text.partition(":")
    if not (kind and colon and name) or any(c.isspace() for c in text):
        raise ValueError(f"{text!r} is not User:NAME")
    return text


async def grant(bootstrap: str, security: Security, principal: str, acls: Iterable[Acl]) -> None:
    """Grant the principal (`User:name`) these ACLs; those that exist are kept.

    Raises `Unreachable`, `AccessDenied`, `RequestRefused`.
    """
    async with admin_client(bootstrap, security) as admin:
        for acl in acls:
            response = await send_admin_request(admin, _request(principal, acl))
            ((code, message),) = response.creation_responses
            if code:
                reason = message or for_code(code).__name__
                raise RequestRefused(f"Kafka rejects the grant on {acl.name}: {reason}")


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
