"""The engines that are compared, each in one dtype; what is known without loading them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Final, Protocol, TypeAlias, cast

from consumer.core.audio.utterance import Float32Array
from consumer.core.text.hypothesis import TimedWord
from consumer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EngineText:
    """The text that an engine wrote for one clip."""

    text: str
    words: tuple[TimedWord, ...] | None = None  # None: not wanted, or not offered
    redecoded: bool = False  # not the text of the first attempt


@dataclass(frozen=True, slots=True)
class Weights:
    """One checkpoint in the layouts that engines read."""

    path: Path  # as given: anything that `consumer.inference.checkpoint` reads
    hugging_face: Path | None = None  # folders; None: no engine reads it
    ctranslate2: Path | None = None


class ClipEngine(Protocol):
    """Greedy decoding at temperature 0 in a given language; one attempt unless configured."""

    def transcribe(
        self, clips: Sequence[Float32Array], languages: Sequence[str], *, words: bool
    ) -> list[EngineText]:
        """Return one text a clip, in order; clips are at WHISPER_RATE and last at most 30 s."""


Load: TypeAlias = Callable[[Weights, "Variant"], ClipEngine]


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine in one configuration, as it is named in the figures."""

    name: str
    load: str  # "module:function", a `Load`
    dtype: str
    batched: bool = False  # whether a call takes several clips
    folded: bool = False  # streamscribe only
    redecode: bool = False  # streamscribe only: doubtful folded texts are decoded padded
    package: str | None = None  # of the `bench` extra
    hugging_face: bool = False  # layouts of the weights that it reads
    ctranslate2: bool = False

    def engine(self, weights: Weights) -> ClipEngine:
        return cast("Load", resolve_name(self.load))(weights, self)

    @property
    def is_installed(self) -> bool:
        return self.package is None or find_spec(self.package) is not None


OPENAI_WHISPER: Final = Variant(
    "openai-whisper", "bench.engine.engines.openai_whisper:load", "fp32"
)
OPENAI_ALIGNED: Final = Variant(
    "openai-whisper", "bench.engine.engines.openai_whisper:load_aligned", "fp32"
)
FASTER_WHISPER: Final = Variant(
    "faster-whisper",
    "bench.engine.engines.faster_whisper:load",
    "int8",
    package="faster_whisper",
    hugging_face=True,
    ctranslate2=True,
)


def _transformers(name: str, dtype: str) -> Variant:
    load = "bench.engine.engines.hugging_face:load"
    return Variant(name, load, dtype, True, package="transformers", hugging_face=True)


PEERS: Final = {
    peer.name: peer
    for peer in (
        OPENAI_WHISPER,
        FASTER_WHISPER,
        _transformers("transformers", "fp32"),
        _transformers("transformers-bf16", "bf16"),
    )
}


def streamscribe(dtype: str, *, folded: bool = True, redecode: bool = False) -> Variant:
    suffix = "-redecoding" if redecode else "" if folded else "-padded"
    return Variant(
        f"streamscribe-{dtype}{suffix}",
        "bench.engine.engines.streamscribe:load",
        dtype,
        batched=True,
        folded=folded,
        redecode=redecode,
    )


def check_installed(peers: Iterable[Variant]) -> None:
    """Raise `ConfigError` if a peer is not installed."""
    if missing := [peer.name for peer in peers if not peer.is_installed]:
        raise ConfigError(
            f"not installed: {', '.join(missing)}: pip install 'streamscribe[bench]', or name "
            "other peers"
        )


def keep_quiet() -> None:
    """Keep peers from progress bars, advice and requests to a hub; call before importing them."""
    os.environ |= {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
