"""Who is measured: how each is run, and how its records are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from bench.engines.catalog import FASTER_WHISPER, Variant
from bench.live.heard import Ended, Heard, Onset, Partial
from bench.live.heard import Final as FinalHeard
from consumer.errors import ConfigError
from schemas.codec import decode_event
from schemas.transcript import StreamEnded, TranscriptFinal, TranscriptPartial, UtteranceStarted

OURS: Final = "streamscribe"
PEERS: Final = ("naive", "whisper-live")
NO_WHISPER_LIVE: Final = (
    "whisper-live cannot be run beside this: whisper-live 0.10.0 pins tokenizers 0.20.3, which "
    "every transformers of the `bench` extra (4.57 or newer) refuses, and it needs PyAudio, which "
    "has no wheel for Linux and compiles only where portaudio's headers are; use --peer naive"
)

Read: TypeAlias = Callable[[Any, float], Heard | None]  # a record, and when it was had; monotonic


@dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    command: tuple[str, ...]  # a module and its arguments
    settings: Mapping[str, str]  # of the worker, by the names in `consumer.settings`
    read: Read


def variants(peer: str | None) -> list[Variant]:
    """The engines of others that a peer runs on. Raises ConfigError for one that cannot be run."""
    if peer is None:
        return []
    if peer == "whisper-live":
        raise ConfigError(NO_WHISPER_LIVE)
    if FASTER_WHISPER.missing:
        raise ConfigError("not installed: faster-whisper: pip install 'streamscribe[bench]'")
    return [FASTER_WHISPER]


def ours(settings: Mapping[str, str]) -> Contestant:
    return Contestant(OURS, ("streamscribe", "worker"), settings, read_ours)


def naive(settings: Mapping[str, str]) -> Contestant:
    return Contestant("naive", ("bench.live.naive",), settings, read_naive)


def read_ours(record: Any, at_s: float) -> Heard | None:
    match event := decode_event(record.headers, record.value):
        case TranscriptFinal():
            span = event.start_s, event.end_s
            return FinalHeard(event.stream_id, *span, event.text, at_s, event)
        case TranscriptPartial():
            return Partial(at_s, event)
        case UtteranceStarted():
            return Onset(at_s, event)
        case StreamEnded():
            return Ended(event.stream_id)
        case _:
            return None


def read_naive(record: Any, at_s: float) -> Heard:
    told = orjson.loads(record.value)
    if told["type"] == "ended":
        return Ended(told["stream_id"])
    return FinalHeard(told["stream_id"], told["start_s"], told["end_s"], told["text"], at_s)
