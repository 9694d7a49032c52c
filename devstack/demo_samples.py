"""The clips of `samples/`: what is said in them, and by whom it may be given away."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError

SAMPLES: Final = Path(__file__).parents[1] / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip and its reference."""

    path: Path
    language: str  # en | zh
    reference: str
    seconds: float

    @property
    def stream_id(self) -> str:
        return self.path.stem


def load_samples(folder: Path = SAMPLES) -> tuple[Sample, ...]:
    """In the manifest's order. Raises DevstackError where the samples are not at hand."""
    manifest = folder / "manifest.jsonl"
    try:
        lines = manifest.read_text("utf-8").splitlines()
    except FileNotFoundError as error:
        raise DevstackError(
            f"{manifest} is missing: the demo's speech is in the repository only; "
            "clone it and run `make demo` there"
        ) from error
    return tuple(_sample(json.loads(line), folder) for line in lines)


def _sample(entry: dict[str, str | float], folder: Path) -> Sample:
    return Sample(
        path=folder / str(entry["file"]),
        language=str(entry["lang"]),
        reference=str(entry["text"]),
        seconds=float(entry["seconds"]),
    )
