"""Formats for reading and for other programs: txt, md, tsv, json, jsonl.

`tsv` and `json` have the columns and keys of openai-whisper's own files, and more after them.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from captions.jsonl import json_line
from captions.timeline import Segment, SegmentKind
from captions.transcript import StreamTranscript, language, whole_clock
from schemas.transcript import TranscriptFinal

_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>#|~&])")
_COLUMNS: Final = ("start", "end", "text", "language", "confidence", "kind", "note")


def txt(transcript: StreamTranscript) -> bytes:
    """Return one line for each final with text."""
    return "".join(f"{segment.text}\n" for segment in transcript.speech).encode()


def md(transcript: StreamTranscript) -> bytes:
    """Return Markdown: a paragraph for each final, in italics what is missing."""
    heading = [f"# {_markdown(transcript.title)}"] if transcript.title else []
    paragraphs = (_markdown_paragraph(segment) for segment in written(transcript))
    return "".join(f"{block}\n\n" for block in (*heading, *paragraphs)).encode()


def tsv(transcript: StreamTranscript) -> bytes:
    """Return tab-separated columns with a heading; times are in milliseconds."""
    rows = (_COLUMNS, *map(_row, written(transcript)))
    return "".join("\t".join(row) + "\n" for row in rows).encode()


def json(transcript: StreamTranscript) -> bytes:
    """Return one JSON object; what is missing is listed under `marks`."""
    content = {
        "title": transcript.title,
        "language": transcript.language,
        "text": " ".join(segment.text for segment in transcript.speech),
        "segments": [_json(number, each) for number, each in enumerate(transcript.speech)],
        "marks": [
            {"start": mark.start_s, "end": mark.end_s, "kind": mark.kind, "note": mark.note}
            for mark in transcript.marks
        ],
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def jsonl(transcript: StreamTranscript) -> bytes:
    """Return the events, one CloudEvent per line, unchanged."""
    return b"".join(json_line(segment.event) for segment in transcript.segments)


def written(transcript: StreamTranscript) -> list[Segment]:
    """Return the segments that have a text or a note."""
    return [segment for segment in transcript.segments if segment.text or segment.note]


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _markdown_paragraph(segment: Segment) -> str:
    time = whole_clock(segment.start_s)
    if segment.note:
        return f"*{time} {_markdown(segment.note)}*"
    return f"**{time}** {_markdown(segment.text)}"


def _row(segment: Segment) -> tuple[str, ...]:
    start_ms, end_ms = (round(seconds * 1_000) for seconds in (segment.start_s, segment.end_s))
    confidence = getattr(segment.event, "confidence", None)
    return (
        *(str(start_ms), str(end_ms), segment.text),
        language(segment) if segment.kind is SegmentKind.SPEECH else "",
        "" if confidence is None or segment.note else f"{confidence:.3f}",
        *(segment.kind, segment.note),
    )


def _json(number: int, segment: Segment) -> dict[str, Any]:
    final = segment.event
    assert isinstance(final, TranscriptFinal)
    words = [
        {"word": w.text, "start": w.start_s, "end": w.end_s, "probability": w.probability}
        for w in segment.words
    ]
    return {
        "id": number,
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "words": words,
        "language": final.language,
        "confidence": final.confidence,
        "verdict": final.quality.verdict,
        "reasons": final.quality.reasons,
        "avg_logprob": final.quality.avg_logprob,
        "no_speech_prob": final.quality.no_speech_prob,
        "compression_ratio": final.quality.compression_ratio,
        "event": final.id,
    }
