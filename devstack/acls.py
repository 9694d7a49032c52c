"""`streamscribe acls`: the rights that each side of the wire needs, listed or granted."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from consumer.errors import SttError
from consumer.kafka.acl_admin import grant
from devstack.options import add_bootstrap, add_prefix
from schemas.acls import Role, acls
from transport.arguments import security


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters becomes our one line
    rights = list(acls(args.role, args.topics, args.group))
    for acl in rights:
        print(acl.command(args.principal))
    if not args.grant:
        return 0
    try:
        asyncio.run(grant(args.bootstrap, security(parser), args.principal, rights))
    except SttError as error:
        print(f"streamscribe acls: {error}", file=sys.stderr)
        return 1
    print(f"granted to {args.principal}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamscribe acls",
        description="List the rights that a role needs, as commands of Kafka's own tool; with "
        "--grant also grant them.",
        epilog="Exit codes: 0 listed or granted; 1 Kafka does not answer or refuses; 2 usage.",
    )
    parser.add_argument("role", type=Role, choices=list(Role), help="|".join(Role))
    parser.add_argument("principal", type=_principal, metavar="User:NAME", help="who gets them")
    parser.add_argument(
        "--group",
        default=os.environ.get("STREAMSCRIBE_GROUP", "streamscribe"),
        metavar="NAME",
        help="the workers' consumer group (default: $STREAMSCRIBE_GROUP, else streamscribe)",
    )
    parser.add_argument("--grant", action="store_true", help="grant them, as who may alter ACLs")
    add_bootstrap(parser)
    add_prefix(parser)
    return parser


def _principal(text: str) -> str:
    kind, colon, name = text.partition(":")
    if not (kind and colon and name) or any(c.isspace() for c in text):
        raise argparse.ArgumentTypeError(f"{text!r} is not User:NAME")
    return text
