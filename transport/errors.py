"""Why Kafka cannot be used, named by consequence. Every message is one line that says what to do.

TransportError
  Unreachable     no broker answers: it may pass
  AccessDenied    settings, secrets or rights have to change: waiting does not help
  RequestRefused  the cluster refuses what was asked for, or its topics contradict it
"""

# ruff: noqa: N818 -- named by what happened (`except Unreachable`)

from __future__ import annotations


class TransportError(Exception):
    """Base of the errors of this package."""


class Unreachable(TransportError):
    """No broker answers."""


class AccessDenied(TransportError):
    """The brokers do not let us in, or a file of the security settings cannot be used."""


class RequestRefused(TransportError):
    """The cluster refuses a request of an administrator."""
