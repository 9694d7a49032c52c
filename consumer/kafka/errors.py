"""Classify aiokafka's exceptions by what the caller must do; no other module handles them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog
from aiokafka import errors as kafka

from consumer.errors import ConfigError, Fenced, Retriable
from transport.errors import TransportError, Unreachable

log = structlog.get_logger(__name__)

_FENCED = (
    kafka.ProducerFenced,
    kafka.InvalidProducerEpoch,
    kafka.InvalidProducerIdMapping,
    kafka.CommitFailedError,
    kafka.IllegalGenerationError,
    kafka.UnknownMemberIdError,
    kafka.RebalanceInProgressError,
    kafka.IllegalStateError,  # raised by a commit for a partition that is no longer assigned
)
_DENIED = (
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.SaslAuthenticationFailed,
    kafka.AuthenticationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
)
_FATAL = (kafka.RecordTooLargeError, kafka.MessageSizeTooLargeError, kafka.InvalidTopicError)


@contextmanager
def translate_errors(doing: str) -> Iterator[None]:
    """Translate Kafka's exceptions to `Fenced`, `ConfigError` or, for all others, `Retriable`.

    `doing` completes the sentence "Kafka failed while ...".
    """
    try:
        yield
    except Unreachable as error:
        raise Retriable(str(error)) from error
    except TransportError as error:
        raise ConfigError(str(error)) from error
    except _FENCED as error:
        raise Fenced(f"{doing}: {describe(error)}") from error
    except _DENIED as error:
        raise ConfigError(f"Kafka refuses {doing}: {describe(error)}; check the ACLs") from error
    except _FATAL as error:
        raise ConfigError(f"Kafka refuses {doing}: {describe(error)}; check the topics") from error
    except kafka.KafkaError as error:
        raise Retriable(f"Kafka failed while {doing}: {describe(error)}") from error


@asynccontextmanager
async def deadline(seconds: float, doing: str) -> AsyncIterator[None]:
    """Translate errors as `translate_errors` does; raise `Retriable` after `seconds`."""
    try:
        with translate_errors(doing):
            async with asyncio.timeout(seconds):
                yield
    except TimeoutError as error:
        raise Retriable(f"Kafka did not answer within {seconds:.0f} s while {doing}") from error
    except (AssertionError, asyncio.InvalidStateError) as error:
        raise Retriable(f"aiokafka is in an invalid state while {doing}: {error}") from error


def ignore_unretrieved_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Log Kafka errors in abandoned futures at level debug; all others keep asyncio's handler.

    aiokafka abandons many futures. The caller that stopped waiting has raised its own error.
    """
    loop.set_exception_handler(_on_unretrieved)


def _on_unretrieved(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, kafka.KafkaError) and context["message"].endswith("was never retrieved"):
        log.debug("unretrieved Kafka error ignored", error=describe(error))
    else:
        loop.default_exception_handler(context)


def describe(error: BaseException) -> str:
    """Return the error's class and text: many of aiokafka's have no text."""
    return f"{type(error).__name__} {error}".strip()
