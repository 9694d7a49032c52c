"""An example final; tests set only the fields that matter to them."""

from __future__ import annotations

from typing import Any

from schemas.transcript import Model, Quality, Source, Timing, TranscriptFinal


def transcript_final(**overrides: Any) -> TranscriptFinal:
    """Return the first final of stream "s", with some fields overridden."""
    fields: dict[str, Any] = {
        "stream_id": "s",
        "session_id": "0-0",
        "index": 0,
        "time_ms": 0,
        "utterance": 0,
        "start_s": 0.0,
        "end_s": 0.0,
        "speech_end_s": None,
        "start_sample": 0,
        "end_sample": 0,
        "rate": 16_000,
        "started_at_ms": 0,
        "end_reason": "silence",
        "language": "en",
        "language_probability": None,
        "text": "",
        "words": None,
        "confidence": None,
        "quality": Quality(-0.1, 0.0, 1.0),
        "model": Model("m", "0", "fp32", fold=True),
        "source": Source("t", 0, 0, 0),
        "timing": Timing(None, 0, 0),
    }
    return TranscriptFinal(**(fields | overrides))
