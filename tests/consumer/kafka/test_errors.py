from __future__ import annotations

import asyncio
import gc
import logging

import pytest
from aiokafka.errors import NotCoordinatorForGroupError
from structlog.testing import capture_logs

from consumer.kafka.errors import ignore_unretrieved_errors


async def abandon(error: Exception) -> None:
    """Set an exception that is never retrieved."""
    asyncio.get_running_loop().create_future().set_exception(error)
    gc.collect()


async def test_unretrieved_kafka_errors_are_logged_at_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ignore_unretrieved_errors(asyncio.get_running_loop())
    with capture_logs() as lines:
        await abandon(NotCoordinatorForGroupError())
    assert [line["log_level"] for line in lines] == ["debug"]
    assert caplog.records == []


async def test_other_unretrieved_errors_are_logged_as_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ignore_unretrieved_errors(asyncio.get_running_loop())
    await abandon(ZeroDivisionError())
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
