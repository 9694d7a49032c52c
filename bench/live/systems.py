"""The systems that are measured: how each is started, and how its records are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from bench.engine.engines.catalog import FASTER_WHISPER, Variant
from bench.live.observations import (
    Received,
    ReceivedEnd,
    ReceivedFinal,
    ReceivedOnset,
    ReceivedPartial,
)
from consumer.errors import ConfigError
from schemas.codec import decode_event
from schemas.transcript import StreamEnded, TranscriptFinal, TranscriptPartial, UtteranceStarted

STREAMSCRIBE: Final = "streamscribe"
PEERS: Final = ("baseline", "whisper-live")
NO_WHISPER_LIVE: Final = (
    "whisper-live cannot be installed beside this: whisper-live 0.10.0 pins tokenizers 0.20.3, "
    "which every transformers of the `bench` extra (4.57 or newer) rejects, and it needs PyAudio, "
    "which has no wheel for Linux and compiles only with portaudio's headers; use --peer baseline"
)


@dataclass(frozen=True, slots=True)
class System:
    """A worker that turns the audio topic into transcripts."""

    name: str
    command: tuple[str, ...]  # a module and its arguments
    settings: Mapping[str, str]  # by the names in `consumer.settings`
    read: Callable[[Any, float], Received | None]  # a record and its monotonic time of arrival


def peer_engines(peer: str | None) -> list[Variant]:
    """Return the engines that a peer needs. Raises ConfigError if the peer cannot run."""
    if peer is None:
        return []
    if peer == "whisper-live":
        raise ConfigError(NO_WHISPER_LIVE)
    if not FASTER_WHISPER.is_installed:
        raise ConfigError("faster-whisper is not installed: pip install 'streamscribe[bench]'")
    return [FASTER_WHISPER]


def systems(
    asked: argparse.Namespace, threads: int, model: Path, ctranslate2: Path | None
) -> list[System]:
    """Return streamscribe and, with weights in the layout of CTranslate2, the baseline."""
    common = {"threads": str(threads), "endpoint_ms": str(asked.endpoint_ms)}
    own = common | {"model": str(model), "dtype": asked.dtype}
    found = [System(STREAMSCRIBE, ("streamscribe", "worker"), own, read_event)]
    if ctranslate2 is not None:
        settings = common | {"model": str(ctranslate2)}
        found.append(System("baseline", ("bench.live.baseline",), settings, read_baseline))
    return found


def read_event(record: Any, at_s: float) -> Received | None:
    """Decode a record of the transcripts or partials topic; None for other events."""
    match event := decode_event(record.headers, record.value):
        case TranscriptFinal():
            return ReceivedFinal.of(event, at_s)
        case TranscriptPartial():
            return ReceivedPartial(at_s, event)
        case UtteranceStarted():
            return ReceivedOnset(at_s, event)
        case StreamEnded():
            return ReceivedEnd(event.stream_id)
        case _:
            return None


def read_baseline(record: Any, at_s: float) -> Received:
    """Decode a record of the baseline."""
    fields = orjson.loads(record.value)
    if fields.pop("type") == "ended":
        return ReceivedEnd(**fields)
    return ReceivedFinal(**fields, at_s=at_s)
