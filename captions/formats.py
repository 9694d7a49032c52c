"""The formats in which a transcript is written, by name.

    data = write("srt", finals)

A format takes the events of one stream: finals, and also gaps and failures, which are marked where
the format allows it. `srt` and `txt` have speech alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from captions import subtitles, texts
from captions.timeline import Placeable
from captions.transcript import StreamTranscript, stream_transcript


@dataclass(frozen=True, slots=True)
class CaptionFormat:
    """One format: how it is written, and the ending of its files."""

    write: Callable[[StreamTranscript], bytes]
    suffix: str  # with the dot
    help: str  # a few words


def _docx(transcript: StreamTranscript) -> bytes:
    from captions.document import docx  # the library is an extra

    return docx(transcript)


FORMATS: Final[Mapping[str, CaptionFormat]] = MappingProxyType(
    {
        "txt": CaptionFormat(texts.txt, ".txt", "text, a line for each utterance"),
        "srt": CaptionFormat(subtitles.srt, ".srt", "subtitles"),
        "vtt": CaptionFormat(subtitles.vtt, ".vtt", "subtitles for the web"),
        "vtt-words": CaptionFormat(
            subtitles.word_timed_vtt, ".words.vtt", "the same with a time for each word"
        ),
        "ttml": CaptionFormat(subtitles.ttml, ".ttml", "subtitles for broadcasters"),
        "json": CaptionFormat(texts.json, ".json", "one object, with openai-whisper's keys"),
        "jsonl": CaptionFormat(texts.jsonl, ".jsonl", "the events, a CloudEvent for each line"),
        "tsv": CaptionFormat(texts.tsv, ".tsv", "a table"),
        "md": CaptionFormat(texts.md, ".md", "Markdown"),
        "docx": CaptionFormat(_docx, ".docx", "a Word document; needs streamscribe[docx]"),
    }
)


def write(name: str, events: Iterable[Placeable], title: str = "") -> bytes:
    """Return the transcript of one stream's events in a format of `FORMATS`.

    `events`: finals, and perhaps gaps and failures, in the order of their publication.
    `title`: of the documents, in formats that have one. Raises FormatError for a transcript that
    the format cannot hold, and ModuleNotFoundError if a library of an extra is missing.
    """
    return FORMATS[name].write(stream_transcript(events, title))
