"""Subtitle formats: SRT, WebVTT, word-timed WebVTT and TTML.

SRT is written by pysubs2. Its WebVTT has no escapes, notes and word times, and its TTML lacks what
the standard requires (xml:lang, xml:id), so these two are written here.
"""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from heapq import merge
from operator import attrgetter, itemgetter
from typing import Any, Final, TypeVar

from pysubs2 import SSAEvent, SSAFile

from captions.cues import Cue
from captions.errors import FormatError
from captions.timeline import Segment
from captions.transcript import StreamTranscript, clock

Item = TypeVar("Item")

_SRT_END_MS: Final = 100 * 3_600_000  # its hours have two digits
_WORD_JOINER: Final = "\u2060"  # invisible: keeps a character from beginning a tag
_SRT_MARKUP: Final = str.maketrans({mark: mark + _WORD_JOINER for mark in "\\<{"})
_TTML: Final = "http://www.w3.org/ns/ttml"
_LANGUAGE: Final = "{http://www.w3.org/XML/1998/namespace}lang"


def srt(transcript: StreamTranscript) -> bytes:
    """Return SubRip text. Raises FormatError for a transcript of 100 hours or more."""
    file = SSAFile()
    for cue in transcript.cues():
        if cue.end_ms >= _SRT_END_MS:
            raise FormatError("srt has no times of 100 hours or more: use vtt")
        text = "\\N".join(line.translate(_SRT_MARKUP) for line in cue.texts)
        file.append(SSAEvent(cue.start_ms, cue.end_ms, text))
    # The texts have no tags of SubStation, and pysubs2 would drop braces as such.
    return file.to_string("srt", keep_ssa_tags=True).encode()


def vtt(transcript: StreamTranscript) -> bytes:
    """Return WebVTT; what is missing is a note between the cues."""
    return _vtt(transcript, lambda cue: "\n".join(map(_escaped, cue.texts)))


def word_timed_vtt(transcript: StreamTranscript) -> bytes:
    """Return WebVTT in which every word has its time, as far as it was measured."""
    return _vtt(transcript, _with_word_times)


def ttml(transcript: StreamTranscript) -> bytes:
    """Return TTML; what is missing is a comment between the paragraphs."""
    root = ET.Element("tt", {"xmlns": _TTML, _LANGUAGE: transcript.language})
    division = ET.SubElement(ET.SubElement(root, "body"), "div")
    division.extend(_in_time_order(transcript, _paragraph, _comment))
    ET.indent(root)
    return bytes(ET.tostring(root, "utf-8", xml_declaration=True)) + b"\n"


def _vtt(transcript: StreamTranscript, text: Callable[[Cue], str]) -> bytes:
    def block(cue: Cue) -> str:
        return f"{clock(cue.start_ms)} --> {clock(cue.end_ms)}\n{text(cue)}"

    blocks = _in_time_order(transcript, block, lambda mark: f"NOTE {_escaped(_described(mark))}")
    return "\n\n".join(("WEBVTT", *blocks)).encode() + b"\n"


def _in_time_order(
    transcript: StreamTranscript, of_cue: Callable[[Cue], Item], of_mark: Callable[[Segment], Item]
) -> Iterator[Item]:
    in_order = sorted(transcript.marks, key=attrgetter("start_s"))
    marks = ((round(mark.start_s * 1_000), of_mark(mark)) for mark in in_order)
    shown = ((cue.start_ms, of_cue(cue)) for cue in transcript.cues())
    return (item for _, item in merge(marks, shown, key=itemgetter(0)))


def _described(mark: Segment) -> str:
    """Return the stretch that a mark covers and what is missing there."""
    start, end = (clock(round(seconds * 1_000)) for seconds in (mark.start_s, mark.end_s))
    return f"{start} to {end} {mark.note}"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _with_word_times(cue: Cue) -> str:
    """Return the lines with a time before each word that begins after the one before it."""
    lines, before_ms = [], cue.start_ms
    for line in cue.lines:
        parts = []
        for piece in line:
            start_ms = round(piece.start_s * 1_000)
            if piece.is_measured and before_ms < start_ms < cue.end_ms:
                parts.append(f"<{clock(start_ms)}>")
                before_ms = start_ms
            parts.append(_escaped(piece.text))
        lines.append("".join(parts).strip())
    return "\n".join(lines)


def _paragraph(cue: Cue) -> ET.Element[Any]:
    paragraph = ET.Element("p", begin=clock(cue.start_ms), end=clock(cue.end_ms))
    paragraph.text, *others = cue.texts
    for text in others:
        ET.SubElement(paragraph, "br").tail = text
    return paragraph


def _comment(mark: Segment) -> ET.Element[Any]:
    return ET.Comment(f" {re.sub('-(?=-)', '- ', _described(mark))} ")
