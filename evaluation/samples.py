"""Clips of a folder with a manifest.jsonl: the audio file, its language and the reference text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SAMPLES: Final = Path(__file__).parents[1] / "samples"


class SamplesMissing(Exception):  # noqa: N818 - named by what the caller has to do
    """The folder has no manifest. The message states where to get the samples."""


@dataclass(frozen=True, slots=True)
class SampleClip:
    """One clip and its reference text."""

    path: Path
    language: str  # en | zh
    reference: str
    seconds: float

    @property
    def stream_id(self) -> str:
        return self.path.stem


def load_samples(folder: Path = SAMPLES) -> tuple[SampleClip, ...]:
    """Return the clips in the manifest's order. Raises `SamplesMissing` without a manifest."""
    manifest = folder / "manifest.jsonl"
    try:
        lines = manifest.read_text("utf-8").splitlines()
    except FileNotFoundError as error:
        raise SamplesMissing(
            f"{manifest} is missing: the recordings are part of the repository only: "
            "clone it and run `make demo` there"
        ) from error
    return tuple(_sample(json.loads(line), folder) for line in lines)


def _sample(entry: dict[str, str | float], folder: Path) -> SampleClip:
    return SampleClip(
        path=folder / str(entry["file"]),
        language=str(entry["lang"]),
        reference=str(entry["text"]),
        seconds=float(entry["seconds"]),
    )
