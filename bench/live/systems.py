"""The systems that are measured, and how each is started."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.engine.engines.catalog import FASTER_WHISPER, Variant, check_installed
from consumer.errors import ConfigError

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


def peer_engines(peer: str | None) -> list[Variant]:
    """Return the engines that a peer needs. Raises ConfigError if the peer cannot run."""
    if peer is None:
        return []
    if peer == "whisper-live":
        raise ConfigError(NO_WHISPER_LIVE)
    check_installed([FASTER_WHISPER])
    return [FASTER_WHISPER]


def systems(
    asked: argparse.Namespace, threads: int, model: Path, ctranslate2: Path | None
) -> list[System]:
    """Return streamscribe and, with weights in the layout of CTranslate2, the baseline."""
    common = {"threads": str(threads), "endpoint_ms": str(asked.endpoint_ms)}
    own = common | {"model": str(model), "dtype": asked.dtype}
    found = [System(STREAMSCRIBE, ("streamscribe", "worker"), own)]
    if ctranslate2 is not None:
        settings = common | {"model": str(ctranslate2)}
        found.append(System("baseline", ("bench.live.baseline",), settings))
    return found
