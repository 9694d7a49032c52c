from __future__ import annotations

import asyncio
import gc
import logging

import pytest
from aiokafka.errors import NotCoordinatorForGroupError
from structlog.testing import capture_logs

from consumer.kafka.errors import ignore_unretrieved_errors


async def leave(error: Exception) -> None:
    """A failure that nobody asks about."""
    asyncio.get_running_loop().create_future().set_exception(error)
    gc.collect()


async def test_kafkas_answers_that_nobody_waits_for_are_no_errors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ignore_unretrieved_errors(asyncio.get_running_loop())
    with capture_logs() as told:
        await leave(NotCoordinatorForGroupError())
    assert [line["log_level"] for line in told] == ["debug"]
    assert caplog.records == []


async def test_all_other_failures_are_told_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    ignore_unretrieved_errors(asyncio.get_running_loop())
    await leave(ZeroDivisionError())
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
