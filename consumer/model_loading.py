"""Choose and load the worker's model: weights, device, and whether it decodes folded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog
from rich.console import Console

from consumer.core.scheduling.capacity import BatchLimits
from consumer.engine.transcriber_thread import Transcriber
from consumer.errors import ConfigError
from consumer.inference import alignment, checkpoint, device
from consumer.inference.whisper_engine import WhisperTranscriber
from consumer.interfaces import EngineInfo
from consumer.settings import FoldMode, Settings
from schemas.languages import whisper_code
from weights import fold_record
from weights.errors import WeightsError
from weights.resolve import Resolved, resolve_here

log = structlog.get_logger(__name__)


def load_transcriber(settings: Settings) -> Transcriber:
    """Load the model to its device, for seconds. Raises `ConfigError`, `DeviceLost`."""
    chosen = device.choose(settings.device, settings.dtype)
    if chosen.unused_gpu:
        log.warning("GPU not used", error=chosen.unused_gpu, action=device.OLD_DRIVER_ADVICE)
    with _weights_errors():
        found = resolve_here(
            settings.model or chosen.default_model, os.environ, Console(stderr=True)
        )
        fold = may_fold(settings.fold, found)
    log.info(
        "model loading",
        device=chosen.describe(),
        model=found.name,
        sha256=found.sha256,
        fold=settings.fold,
    )
    with ThreadPoolExecutor(1) as beside, device.device_errors():
        prepared = beside.submit(alignment.prepare)
        loaded = checkpoint.load(found.path, sha256=found.sha256)
        transcriber = WhisperTranscriber(loaded, chosen, fold=fold, limits=limits(settings, chosen))
        prepared.result()
    return transcriber


def limits(settings: Settings, chosen: device.Device) -> BatchLimits:
    """Return the most of a batch: the device's, except for what the settings give."""
    usual = chosen.limits
    return BatchLimits(
        settings.batch_rows or usual.rows, settings.batch_positions or usual.positions
    )


@contextmanager
def _weights_errors() -> Iterator[None]:
    try:
        yield
    except WeightsError as error:
        raise ConfigError(str(error)) from error


def may_fold(mode: FoldMode, found: Resolved) -> bool:
    """Return whether these weights decode folded; log why not, and the action that enables it."""
    if mode is not FoldMode.AUTO:
        return mode is FoldMode.ON
    record = fold_record.find(found.sha256, os.environ)
    if record is None or not record.passed:
        log.warning(
            "decoding padded, at several times the cost",
            error="folding was not checked" if record is None else "the check of folding failed",
            model=found.name,
            action=f"python -m bench fold --model {found.path} --data DIR",
        )
    return record is not None and record.passed


def warn_of_language(settings: Settings, info: EngineInfo) -> None:
    """Log a warning if the model lacks a default language.

    A stream that names an unknown language itself gets a warning event instead.
    """
    lacking = [tag for tag in settings.languages if whisper_code(tag) not in info.languages]
    if lacking:
        log.warning(
            "model lacks the default language",
            languages=lacking,
            model=info.model.name,
            action="set STREAMSCRIBE_LANGUAGE to a language of the model or to auto, "
            "or use another model",
        )
