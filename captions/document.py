"""Word documents, with python-docx: the extra `docx`."""

from __future__ import annotations

import io

import docx as python_docx
from docx.document import Document
from docx.shared import RGBColor

from captions.timeline import Segment
from captions.transcript import StreamTranscript, whole_clock

_GREY = RGBColor(0x80, 0x80, 0x80)


def docx(transcript: StreamTranscript) -> bytes:
    """Return a document: a paragraph for each final, in italics what is missing."""
    document = python_docx.Document()
    if transcript.title:
        document.add_heading(transcript.title, level=1)
    for segment in transcript.segments:
        if segment.text or segment.note:
            _add(document, segment)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _add(document: Document, segment: Segment) -> None:
    paragraph = document.add_paragraph()
    paragraph.add_run(f"{whole_clock(segment.start_s)}  ").font.color.rgb = _GREY
    paragraph.add_run(segment.text or segment.note).italic = not segment.text
