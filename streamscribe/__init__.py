"""The Python API; `docs/python-api.md` describes it. Each name is imported when it is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from offline.transcriber import OfflineTranscriber as Transcriber
    from offline.transcript import IncompleteTranscriptError, Transcript
    from producer.publisher import AudioPublisher as Publisher
    from schemas.audio import AudioChunk
    from subscriber.reader import transcripts

__all__ = [
    "AudioChunk",
    "IncompleteTranscriptError",
    "Publisher",
    "Transcriber",
    "Transcript",
    "transcripts",
]

_PLACES: Final = {
    "AudioChunk": ("schemas.audio", "AudioChunk"),
    "IncompleteTranscriptError": ("offline.transcript", "IncompleteTranscriptError"),
    "Publisher": ("producer.publisher", "AudioPublisher"),
    "Transcriber": ("offline.transcriber", "OfflineTranscriber"),
    "Transcript": ("offline.transcript", "Transcript"),
    "transcripts": ("subscriber.reader", "transcripts"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(importlib.import_module(module), attribute)
