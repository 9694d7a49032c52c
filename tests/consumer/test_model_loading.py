from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import torch
from structlog.typing import EventDict

from consumer.core.scheduling.capacity import BatchLimits
from consumer.inference import device
from consumer.inference.device import Device
from consumer.model_loading import limits, load_transcriber, may_fold
from consumer.settings import FoldMode, Settings
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


def test_the_limits_of_a_batch_are_the_devices_except_for_what_the_settings_give() -> None:
    gpu = Device(torch.device("cuda", 0), torch.float16, "a GPU", "")
    assert limits(Settings(), gpu) == gpu.limits == BatchLimits(64, 32_768)
    assert limits(Settings(batch_rows=8), gpu) == BatchLimits(8, 32_768)
    assert limits(Settings(batch_positions=1024), gpu) == BatchLimits(64, 1024)


def test_the_model_gets_the_limits_of_the_settings(tiny_en_weights: Path) -> None:
    settings = Settings(model=str(tiny_en_weights), device="cpu", dtype="fp32", batch_rows=5)
    assert load_transcriber(settings).limits == BatchLimits(5, 8192)


def test_a_gpu_that_the_driver_is_too_old_for_is_one_warning(
    tiny_en_weights: Path, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = "the NVIDIA driver supports CUDA 12.4, and this torch needs CUDA 13.2"
    monkeypatch.setattr(device, "old_driver", lambda *_: old)
    load_transcriber(Settings(model=str(tiny_en_weights), dtype="fp32", fold=FoldMode.ON))
    (line,) = (line for line in logged if line["log_level"] == "warning")
    assert (line["event"], line["error"]) == ("GPU not used", old)
    assert "TORCH=cuda12" in line["action"]


def test_unchecked_weights_are_padded_and_the_warning_names_the_check(
    logged: list[EventDict],
) -> None:
    assert not may_fold(FoldMode.AUTO, weights(UNKNOWN))
    (line,) = logged
    assert line["log_level"] == "warning"
    assert line["action"] == "python -m bench fold --model some.pt --data DIR"
