"""Errors of reaching Kafka, by consequence. Every message states what to do next.

TransportError
  Unreachable     no broker answers: a later try may succeed
  AccessDenied    settings, secrets or rights have to change: waiting does not help
  RequestRefused  the cluster rejects the request, or its topics contradict it
"""

# ruff: noqa: N818 -- named by what happened (`except Unreachable`)

from __future__ import annotations


class TransportError(Exception):
    """Base of the errors of this package."""


class Unreachable(TransportError):
    """No broker answers."""


class AccessDenied(TransportError):
    """The brokers reject the login or its rights, or a file of the settings cannot be used."""


class RequestRefused(TransportError):
    """The cluster rejects an administrator's request."""


def first_error(error: BaseException) -> BaseException:
    """Return the first error in nested exception groups, which caused the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
