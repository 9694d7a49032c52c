from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.typing import EventDict

from consumer.model_loading import may_fold
from consumer.settings import FoldMode
from weights.resolve import Resolved

BASE = "ce7704bf91882cf75a7f28cbd722da6d74a4912b2eeea2252f7e89684cb2b291"  # its record is shipped
UNKNOWN = "0" * 64


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


def weights(sha256: str) -> Resolved:
    return Resolved("some", Path("some.pt"), sha256)


@pytest.mark.parametrize("sha256", [BASE, UNKNOWN])
def test_fold_on_and_off_override_the_record(sha256: str, logged: list[EventDict]) -> None:
    assert may_fold(FoldMode.ON, weights(sha256))
    assert not may_fold(FoldMode.OFF, weights(sha256))
    assert not logged


def test_checked_weights_are_folded(logged: list[EventDict]) -> None:
    assert may_fold(FoldMode.AUTO, weights(BASE))
    assert not logged


def test_unchecked_weights_are_padded_and_the_warning_names_the_check(
    logged: list[EventDict],
) -> None:
    assert not may_fold(FoldMode.AUTO, weights(UNKNOWN))
    (line,) = logged
    assert line["log_level"] == "warning"
    assert line["action"] == "python -m bench fold --model some.pt --data DIR"
