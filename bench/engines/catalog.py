"""The engines that are compared, each in one dtype; all that is known without loading them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Final, Protocol, cast

from consumer.core.audio.utterance import Float32Array
from consumer.core.text.hypothesis import TimedWord


@dataclass(frozen=True, slots=True)
class Heard:
    """What an engine wrote for one clip."""

    text: str
    words: tuple[TimedWord, ...] | None = None  # None: not asked for, or not of this engine
    again: bool = False  # not the first attempt's text


@dataclass(frozen=True, slots=True)
class Weights:
    """One checkpoint in the layouts that engines want."""

    path: Path  # as given: whatever `consumer.inference.checkpoint` reads
    hugging_face: Path | None = None  # folders; None: no engine wants it
    ctranslate2: Path | None = None


class Engine(Protocol):
    """Greedy at temperature 0, language given; one attempt a clip, if nothing else is said."""

    def transcribe(
        self, clips: Sequence[Float32Array], languages: Sequence[str], *, words: bool
    ) -> list[Heard]:
        """One answer a clip, in order; clips are at 16 kHz and last at most 30 s."""


class Load(Protocol):
    def __call__(self, weights: Weights, variant: Variant) -> Engine: ...


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine as it appears in the figures."""

    name: str
    load: str  # "module:function", a `Load`
    dtype: str
    batched: bool = False  # can take several clips in one call
    folded: bool = False  # of ours only
    again: bool = False  # of ours only: folded texts that can't be trusted are decoded padded
    needs: str | None = None  # package of the `bench` extra that it is
    hugging_face: bool = False  # the layouts of the weights that it wants
    ctranslate2: bool = False

    def engine(self, weights: Weights) -> Engine:
        return cast("Load", resolve_name(self.load))(weights, self)

    @property
    def missing(self) -> bool:
        return self.needs is not None and find_spec(self.needs) is None


OPENAI_WHISPER: Final = Variant("openai-whisper", "bench.engines.openai_whisper:plain", "fp32")
OPENAI_WORDS: Final = Variant("openai-whisper", "bench.engines.openai_whisper:aligned", "fp32")
FASTER_WHISPER: Final = Variant(
    "faster-whisper",
    "bench.engines.faster_whisper:load",
    "int8",
    needs="faster_whisper",
    hugging_face=True,
    ctranslate2=True,
)
_TRANSFORMERS: Final = "bench.engines.hugging_face:load"

PEERS: Final = {
    "openai-whisper": OPENAI_WHISPER,
    "faster-whisper": FASTER_WHISPER,
    "transformers": Variant(
        "transformers", _TRANSFORMERS, "fp32", True, needs="transformers", hugging_face=True
    ),
    "transformers-bf16": Variant(
        "transformers-bf16", _TRANSFORMERS, "bf16", True, needs="transformers", hugging_face=True
    ),
}


def keep_quiet() -> None:
    """Before peers are imported: no progress bars, no advice, no look at any hub."""
    os.environ |= {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }


def ours(dtype: str, *, folded: bool = True, again: bool = False) -> Variant:
    name = f"streamscribe-{dtype}" + ("-again" if again else "" if folded else "-padded")
    load = "bench.engines.ours:load"
    return Variant(name, load, dtype, batched=True, folded=folded, again=again)
