from __future__ import annotations

import csv
import io
import json
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace

import av
import av.logging
import docx
import pysubs2
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from spoken_finals import failed, gap, spoken, suppressed

from captions.cues import cues
from captions.errors import FormatError
from captions.formats import FORMATS, write
from captions.timeline import clean, segments

FIRST, SECOND = "Ask not, what <i>your</i> country", "现在这个部门，还在研究“月球探测器”。"
EVENTS = (
    spoken(FIRST, 1, 4, confidence=0.8125),
    suppressed(4, 5),
    gap(5, 7.5),
    failed(7.5, 8),
    spoken(SECOND, 8, 11, language="zh"),
)
JOINER = "\u2060"
TTML = "http://www.w3.org/ns/ttml"


def text(name: str, *events: object, title: str = "") -> str:
    return write(name, events or EVENTS, title).decode()


def subtitles(name: str, *events: object) -> list[tuple[int, int, str]]:
    """Return what pysubs2 reads: start, end and text."""
    file = pysubs2.SSAFile.from_string(text(name, *events), format_=name)
    return [(e.start, e.end, e.text.replace("\\N", "\n").replace(JOINER, "")) for e in file]


def paragraphs(*events: object) -> list[str]:
    """Return the texts of TTML's paragraphs."""
    found = ET.fromstring(text("ttml", *events)).iter(f"{{{TTML}}}p")
    return ["\n".join(each.itertext()) for each in found]


def expected(*events: object) -> list[tuple[int, int, str]]:
    return [(cue.start_ms, cue.end_ms, "\n".join(cue.texts)) for cue in cues(segments(events))]


def captions(name: str, *events: object) -> webvtt.WebVTT:
    return webvtt.from_string(text(name, *events))


def test_txt_has_a_line_for_each_final_with_text():
    assert text("txt") == f"{FIRST}\n{SECOND}\n"


def test_srt_is_numbered_and_timed():
    assert text("srt", spoken("Yes.", 3_661, 3_662.5)) == (
        "1\n01:01:01,000 --> 01:01:02,500\nYes.\n\n"
    )


@pytest.mark.parametrize("name", ["srt", "ttml"])
def test_pysubs2_reads_what_is_written(name: str):
    assert subtitles(name) == expected(*EVENTS)


@pytest.mark.parametrize(
    "odd", [r"C:\new \N \h {\an8} {b}", "<b> a < b & c > d </b> -->", "&lt;", "a--b ]]>"]
)
def test_markup_in_a_text_is_text(odd: str):
    event = spoken(odd, 0, 5)
    assert subtitles("srt", event) == expected(event)
    assert paragraphs(event) == [odd]
    (caption,) = captions("vtt", event)
    assert caption.raw_text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == odd


@given(odd=st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_any_text_is_read_back(odd: str):
    event = spoken(odd, 0, 9)
    found = expected(event)
    assert paragraphs(event) == [each for *_, each in found]
    assert [(c.start, c.end) for c in captions("vtt", event)] == [
        (f"00:00:{start / 1_000:06.3f}", f"00:00:{end / 1_000:06.3f}") for start, end, _ in found
    ]
    assert text("txt", event).rstrip("\n") == clean(odd)


def test_srt_of_a_hundred_hours_is_an_error_that_names_another_format():
    with pytest.raises(FormatError, match="use vtt"):
        write("srt", [spoken("late", 360_000, 360_001)])
    assert "100:00:00.000 --> 100:00:01.000" in text("vtt", spoken("late", 360_000, 360_001))


def test_webvtt_reads_vtt_and_its_notes():
    found = captions("vtt")
    assert [caption.raw_text for caption in found] == [
        "Ask not, what &lt;i&gt;your&lt;/i&gt; country",
        SECOND,
    ]
    assert found[1].comments == [
        "00:00:04.000 to 00:00:05.000 suppressed: no_speech",
        "00:00:05.000 to 00:00:07.500 gap: 2.5 s never reached Kafka",
        "00:00:07.500 to 00:00:08.000 failed: undecodable",
    ]


def test_word_timed_vtt_has_the_time_of_each_word():
    event = spoken("one two & three", 1, 5)
    assert text("vtt-words", event).splitlines()[3] == (
        "one <00:00:02.000>two <00:00:03.000>&amp; <00:00:04.000>three"
    )
    (caption,) = captions("vtt-words", event)
    assert caption.text == "one two &amp; three"


def test_word_timed_vtt_without_words_has_no_times():
    event = spoken("one two three", 1, 4, words=None)
    assert text("vtt-words", event) == text("vtt", event)


def test_ttml_names_its_language_and_notes_what_is_missing():
    source = text("ttml")
    root = ET.fromstring(source)
    assert root.get("{http://www.w3.org/XML/1998/namespace}lang") == "en"
    assert "<!-- 00:00:05.000 to 00:00:07.500 gap: 2.5 s never reached Kafka -->" in source


def test_tsv_is_a_table():
    rows = [*csv.DictReader(io.StringIO(text("tsv")), delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert rows[0] == {
        "start": "1000",
        "end": "4000",
        "text": FIRST,
        "language": "en",
        "confidence": "0.812",
        "kind": "speech",
        "note": "",
    }
    assert [row["kind"] for row in rows] == ["speech", "suppressed", "gap", "failed", "speech"]
    assert (rows[2]["start"], rows[2]["text"], rows[2]["language"]) == ("5000", "", "")


def test_json_has_the_keys_of_openai_whisper_and_marks():
    content = json.loads(text("json", title="call-7"))
    assert (content["title"], content["language"]) == ("call-7", "en")
    assert content["text"] == f"{FIRST} {SECOND}"
    first = content["segments"][0]
    assert (first["id"], first["start"], first["end"], first["text"]) == (0, 1, 4, FIRST)
    assert first["words"][0] == {"word": "Ask", "start": 1, "end": 1.6, "probability": 0.9}
    assert content["marks"][1] == {
        "start": 5,
        "end": 7.5,
        "kind": "gap",
        "note": "gap: 2.5 s never reached Kafka",
    }


def test_pysubs2_reads_json_as_the_transcript_of_whisper():
    file = pysubs2.load_from_whisper(json.loads(text("json")))
    assert [(e.start, e.end, e.text) for e in file] == [
        (1_000, 4_000, FIRST),
        (8_000, 11_000, SECOND),
    ]


def test_jsonl_has_every_event():
    kinds = [json.loads(line)["type"] for line in text("jsonl").splitlines()]
    assert kinds == [event.TYPE for event in EVENTS]


def test_markdown_escapes_what_would_be_markup():
    assert text("md", title="call_7") == (
        "# call\\_7\n\n"
        "**00:00:01** Ask not, what \\<i\\>your\\</i\\> country\n\n"
        "*00:00:04 suppressed: no\\_speech*\n\n"
        "*00:00:05 gap: 2.5 s never reached Kafka*\n\n"
        "*00:00:07 failed: undecodable*\n\n"
        f"**00:00:08** {SECOND}\n\n"
    )


def test_docx_has_a_paragraph_for_each_segment():
    document = docx.Document(io.BytesIO(write("docx", EVENTS, "call-7")))
    assert [paragraph.text for paragraph in document.paragraphs] == [
        "call-7",
        f"00:00:01  {FIRST}",
        "00:00:04  suppressed: no_speech",
        "00:00:05  gap: 2.5 s never reached Kafka",
        "00:00:07  failed: undecodable",
        f"00:00:08  {SECOND}",
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_odd_titles_and_reasons_are_written(name: str):
    odd = (replace(failed(0, 1), reason="\x00-->--- </p>"), replace(gap(1, 2), estimated=True))
    data = write(name, odd, "\x1b a\nb")
    if name == "ttml":
        assert "- ->- - - </p>" in "".join(each.text for each in comments(data))


def comments(data: bytes) -> list[ET.Element]:
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    return [each for each in ET.fromstring(data, parser).iter() if each.tag is ET.Comment]


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_without_speech_is_written(name: str):
    assert isinstance(write(name, []), bytes)


@pytest.mark.parametrize(("name", "demuxer"), [("srt", "srt"), ("vtt", "webvtt")])
def test_ffmpeg_reads_the_cues_without_a_warning(
    name: str, demuxer: str, request: pytest.FixtureRequest
):
    request.addfinalizer(lambda: av.logging.set_level(None))  # as av itself has it
    av.logging.set_level(av.logging.WARNING)
    with (
        av.logging.Capture() as logged,
        av.open(io.BytesIO(write(name, EVENTS)), format=demuxer) as container,
    ):
        packets = [packet for packet in container.demux() if packet.size]
        found = [(packet.pts * packet.time_base, packet.duration / 1_000) for packet in packets]
    assert found == [(start / 1_000, (end - start) / 1_000) for start, end, _ in expected(*EVENTS)]
    assert not logged


@pytest.mark.parametrize("name", ["srt", "vtt", "vtt-words"])
def test_readers_give_no_warning(name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pysubs2.SSAFile.from_string(text(name), format_=name.partition("-")[0])
        if name != "srt":
            webvtt.from_string(text(name))
