"""Fold records: whether weights may be folded, written by `bench fold`, read by `fold=auto`.

One JSON file per checkpoint, `<sha256>.json`. The package contains the records of base and tiny.en;
those that a user's own check writes are kept next to the weights' cache and take precedence.
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

# Points of error rate that folding may cost, at the upper end of the 95 % interval. With a hundred
# clips the interval is one to three points wide; a broken fold costs dozens of points.
LIMIT_POINTS: Final = 3.0
MIN_CLIPS: Final = 40  # of a language: the interval of fewer clips is too wide
SHIPPED: Final = Path(__file__).parent / "folds"


@dataclass(frozen=True, slots=True)
class LanguageCheck:
    """Folded against padded decoding on one language's clips: greedy, without fallbacks."""

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
    """The result of checking one checkpoint."""

    sha256: str  # of the weights
    model: str
    dtype: str
    languages: Mapping[str, LanguageCheck]  # by Whisper code

    @property
    def passed(self) -> bool:
        """Whether these weights may be folded."""
        return bool(self.languages) and all(one.passed for one in self.languages.values())


def own_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's own records, next to that of the weights."""
    return cache_folder(environ).parent / "folds"


def find(sha256: str, environ: Mapping[str, str]) -> FoldRecord | None:
    """Return the record of these weights, or of a file with equal ones; None: never checked.

    Raises WeightsError for a record that cannot be read.
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
    """Return the record in a file. Raises WeightsError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=FoldRecord)
    except (msgspec.MsgspecError, OSError) as error:
        raise WeightsError(
            f"{file}: not a fold record ({error}): delete it, or run `python -m bench fold` again"
        ) from error


def write(record: FoldRecord, folder: Path) -> Path:
    """Write the record atomically and return its file. Raises WeightsError."""
    file = folder / f"{record.sha256}.json"
    partial = file.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        partial.replace(file)
    except OSError as error:
        raise WeightsError(
            f"cannot write a fold record to {folder} ({error.strerror}): set STREAMSCRIBE_HOME to "
            "a writable folder"
        ) from error
    return file
