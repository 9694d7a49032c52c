"""Rights that are taken from running workers, and given back (row 16).

Workers log in; brokers, publishers and readers need not, and may do all. Of a worker the brokers
allow what no ACL is about, and a fault adds ACLs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from bench.chaos.arena import Arena, NotFired
from transport.compat import send_admin_request

_USER: Final = "worker"
_PASSWORD: Final = "chaos"  # noqa: S105 - of brokers that live as long as the run
_HALTED: Final = "partition halted"
_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.2

# Kafka's codes: org.apache.kafka.common.resource and .acl
_TOPIC, _LITERAL, _ANY = 2, 3, 1
_ALL, _WRITE = 2, 4
_DENY, _ALLOW = 2, 3
_EVERYONE, _ANY_HOST = "User:*", "*"


def broker_settings(links: Iterable[str]) -> dict[str, str]:
    """Kafka's own: whoever comes by one of these listeners logs in."""
    kinds = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
    kinds |= dict.fromkeys(links, "SASL_PLAINTEXT")
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    return {
        "listener.security.protocol.map": ",".join(f"{n}:{kind}" for n, kind in kinds.items()),
        "sasl.enabled.mechanisms": "PLAIN",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "true",
        **{
            f"listener.name.{link.lower()}.plain.sasl.jaas.config": (
                f'{login} user_{_USER}="{_PASSWORD}";'
            )
            for link in links
        },
    }


def worker_settings(folder: Path) -> dict[str, str]:
    """To log in; the password goes to a file in `folder`."""
    password_file = folder / "password"
    password_file.write_text(_PASSWORD, "utf-8")
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": _USER,
        "sasl_password_file": str(password_file),
        "sasl_without_tls": "true",
    }


async def revoke(arena: Arena) -> str:
    """No worker may write transcripts any more: all that was read has to wait until they may."""
    topic, sizes = arena.topics.transcripts, [slot.log_size() for slot in arena.slots]
    async with arena.admin() as admin:
        await _add(admin, topic, _ALL, _ALLOW)  # all else they may
        await _add(admin, topic, _WRITE, _DENY)
    try:
        async with asyncio.timeout(_WITHIN_S):
            while (told := _told(arena, sizes, topic)) is None:  # noqa: ASYNC110 - others' files
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise NotFired(f"no worker has said that it may not write {topic}") from None
    finally:
        async with arena.admin() as admin:
            await _remove_all(admin, topic)
    return f"halted: {told[:200]}"


def _told(arena: Arena, sizes: list[int], topic: str) -> str | None:
    """What the first worker says to it, in one line that names the topic."""
    logs = (slot.log_since(size) for slot, size in zip(arena.slots, sizes, strict=True))
    lines = (line for log in logs for line in log.splitlines())
    return next((line for line in lines if _HALTED in line and topic in line), None)


async def _add(admin: AIOKafkaAdminClient, topic: str, operation: int, permission: int) -> None:
    request = CreateAclsRequest(
        _TOPIC, topic, _LITERAL, _EVERYONE, _ANY_HOST, operation, permission
    )
    response = await send_admin_request(admin, request)
    ((code, message),) = response.creation_responses
    if code:
        raise NotFired(f"the brokers refuse an ACL: {message}")


async def _remove_all(admin: AIOKafkaAdminClient, topic: str) -> None:
    request = DeleteAclsRequest(_TOPIC, topic, _LITERAL, _EVERYONE, _ANY_HOST, _ANY, _ANY)
    await send_admin_request(admin, request)
