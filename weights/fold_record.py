"""The record that some weights may be folded: what `bench fold` writes and `fold=auto` reads.

One JSON file a checkpoint, `<sha256>.json`. Records for base and tiny.en come with the package;
those that a user's own check writes lie beside the weights' cache and come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from weights.catalogue import BY_SHA256
from weights.errors import WeightsError
from weights.resolve import cache_folder

# Points of error rate that folding may cost at the upper end of the 95 % interval. Of a hundred
# clips the interval is one to three points wide; a broken fold costs dozens.
LIMIT_POINTS: Final = 3.0
MIN_CLIPS: Final = 40  # of a language: the interval of a few clips says nothing
SHIPPED: Final = Path(__file__).parent / "folds"


@dataclass(frozen=True, slots=True)
class LanguageCheck:
    """Folded against padded on the clips of one language, greedy, one attempt."""

    clips: int
    padded_percent: float  # word or character error rate
    folded_percent: float
    low_points: float  # of folded - padded: 95 % interval, paired bootstrap over clips
    high_points: float

    @property
    def passed(self) -> bool:
        return self.clips >= MIN_CLIPS and self.high_points <= LIMIT_POINTS


@dataclass(frozen=True, slots=True)
class FoldRecord:
    """What a check of one checkpoint found."""

    sha256: str  # of the weights
    model: str
    dtype: str
    languages: Mapping[str, LanguageCheck]  # by Whisper code

    @property
    def passed(self) -> bool:
        """Whether these weights may be folded."""
        return bool(self.languages) and all(one.passed for one in self.languages.values())


def own_folder(environ: Mapping[str, str]) -> Path:
    """Where this user's records are kept: beside the weights."""
    return cache_folder(environ).parent / "folds"


def find(sha256: str, environ: Mapping[str, str]) -> FoldRecord | None:
    """The record of these weights, or of a file known to hold equal ones; None: never checked.

    Raises WeightsError that names a record which cannot be read.
    """
    for folder in (own_folder(environ), SHIPPED):
        for name in _equal_weights(sha256):
            if (file := folder / f"{name}.json").exists():
                return read(file)
    return None


def _equal_weights(sha256: str) -> Iterator[str]:
    yield sha256
    if known := BY_SHA256.get(sha256):
        yield from sorted(known.accepted - {sha256})


def read(file: Path) -> FoldRecord:
    """Raises WeightsError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=FoldRecord)
    except (msgspec.MsgspecError, OSError) as error:
        raise WeightsError(
            f"{file}: no fold record ({error}): remove it, or run `python -m bench fold` again"
        ) from error


def write(record: FoldRecord, folder: Path) -> Path:
    """The file that it was written to, whole or not at all. Raises WeightsError."""
    file = folder / f"{record.sha256}.json"
    partial = file.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        partial.replace(file)
    except OSError as error:
        raise WeightsError(f"cannot keep a fold record in {folder}: {error.strerror}") from error
    return file
