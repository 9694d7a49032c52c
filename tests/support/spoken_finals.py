"""Finals with words, as a worker publishes them."""

from __future__ import annotations

from typing import Any

from example_events import transcript_final

from schemas.transcript import (
    Quality,
    StreamGap,
    TranscriptFinal,
    UtteranceFailed,
    Verdict,
    Word,
)


def spoken(text: str, start_s: float = 0.0, end_s: float = 1.0, **fields: Any) -> TranscriptFinal:
    """Return a final whose words (Chinese: characters) divide its time equally."""
    parts = text.split() if " " in text or text.isascii() else list(text)
    step_s = (end_s - start_s) / max(len(parts), 1)
    words = tuple(
        Word(part, start_s + at * step_s, start_s + (at + 1) * step_s, 0.9)
        for at, part in enumerate(parts)
    )
    whole: dict[str, Any] = {
        "text": text,
        "words": words,
        "start_s": start_s,
        "end_s": end_s,
        "speech_end_s": end_s,
        "time_ms": round(end_s * 1_000),
    }
    return transcript_final(**(whole | fields))


def suppressed(start_s: float, end_s: float) -> TranscriptFinal:
    quality = Quality(-0.5, 0.9, 1.0, verdict=Verdict.SUPPRESSED, reasons=("no_speech",))
    return spoken("", start_s, end_s, words=None, quality=quality)


def gap(start_s: float, end_s: float, *, estimated: bool = False) -> StreamGap:
    return StreamGap(
        stream_id="s",
        session_id="0-0",
        index=0,
        time_ms=round(end_s * 1_000),
        start_sample=round(start_s * 1_000),
        end_sample=round(end_s * 1_000),
        rate=1_000,
        estimated=estimated,
    )


def failed(start_s: float, end_s: float) -> UtteranceFailed:
    return UtteranceFailed(
        stream_id="s",
        session_id="0-0",
        index=0,
        time_ms=round(end_s * 1_000),
        utterance=0,
        start_sample=round(start_s * 1_000),
        end_sample=round(end_s * 1_000),
        rate=1_000,
        reason="undecodable",
    )
