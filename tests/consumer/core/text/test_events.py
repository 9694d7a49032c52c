from __future__ import annotations

from dataclasses import replace

import numpy as np
from builders import MODEL, OPTIONS, PARTITION

from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.streams.entries import PendingUtterance
from consumer.core.streams.records import SessionKey, UtteranceId
from consumer.core.text.chinese import Orthography, Script
from consumer.core.text.events import FinalPolicy, final, undecodable
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis, TimedWord
from consumer.core.text.quality import confidence
from schemas.audio import StreamOptions, Task
from schemas.codec import decode_audio, decode_event, encode_event
from schemas.headers import check_limits
from schemas.transcript import Source, Timing, Verdict, Word

END_MS = 1_700_000_000_000
PENDING = PendingUtterance(
    id=UtteranceId(SessionKey(PARTITION, "call-7", "0-40"), 3),
    utterance=Utterance(
        number=3,
        start=80_000,
        end=96_000,
        speech_end=92_800,
        rate=8_000,
        samples=np.zeros(16_000, np.int16),
        end_reason=EndReason.SILENCE,
        speech=Speech(0.5, 1.0, 0.5),
    ),
    options=replace(OPTIONS, words=True),
    index=4,
    started_at_ms=END_MS - 2_000,
    speech_end_ms=END_MS - 400,
    ended_at_ms=END_MS,
    source=Source(*PARTITION, 40, 60),
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
HYPOTHESIS = Hypothesis(
    text="hello there",
    language="en",
    language_probability=0.9,
    tokens=(1, 2),
    avg_logprob=-0.2,
    no_speech_prob=0.1,
    compression_ratio=1.0,
    folded=True,
    words=(TimedWord("hello", 0.0, 0.5, 0.9), TimedWord(" there", 0.5, 1.25, 0.8)),
)


def decoded(**changes: object) -> TimedHypothesis:
    return TimedHypothesis(
        replace(HYPOTHESIS, **changes), queue_ms=30, decode_ms=70, done_ms=END_MS + 600
    )


def test_a_final_states_its_position_in_stream_log_and_time():
    event = final(PENDING, decoded(), MODEL)
    assert event.id == "call-7/0-40/3"
    assert event.index == 4
    assert (event.start_sample, event.end_sample, event.rate) == (80_000, 96_000, 8_000)
    assert (event.start_s, event.end_s) == (10.0, 12.0)
    assert (event.started_at_ms, event.time_ms) == (END_MS - 2_000, END_MS)
    assert event.end_reason == "silence"
    assert event.source == PENDING.source
    assert event.traceparent == PENDING.traceparent


def test_a_final_states_its_text_and_its_model():
    event = final(PENDING, decoded(), MODEL)
    assert (event.text, event.language, event.language_probability) == ("hello there", "en", 0.9)
    assert event.model == replace(MODEL, fold=True)
    assert event.confidence == confidence(HYPOTHESIS)
    assert event.quality.verdict is Verdict.ACCEPT


def test_the_language_is_published_as_bcp_47():
    assert final(PENDING, decoded(language="jw"), MODEL).language == "jv"


def test_word_times_are_relative_to_the_stream():
    event = final(PENDING, decoded(), MODEL)
    assert event.words == (Word("hello", 10.0, 10.5, 0.9), Word(" there", 10.5, 11.25, 0.8))
    assert final(PENDING, decoded(words=None), MODEL).words is None
    assert final(PENDING, decoded(words=()), MODEL).words == ()


def test_words_are_left_out_unless_the_stream_asked_for_them():
    without_words = replace(PENDING, options=OPTIONS)
    assert final(without_words, decoded(), MODEL) == final(
        without_words, decoded(words=None), MODEL
    )


def test_latency_counts_from_the_end_of_speech():
    assert final(PENDING, decoded(), MODEL).timing == Timing(1_000, 30, 70)


def test_a_suppressed_final_has_its_index_and_reasons_but_no_text():
    event = final(PENDING, decoded(avg_logprob=-2.0, no_speech_prob=0.9), MODEL)
    assert (event.utterance, event.index) == (3, 4)
    assert (event.text, event.words) == ("", None)
    assert event.quality.verdict is Verdict.SUPPRESSED
    assert "no_speech" in event.quality.reasons


def test_suppressed_text_is_published_only_with_its_setting():
    silence = decoded(avg_logprob=-2.0, no_speech_prob=0.9)
    assert final(PENDING, silence, MODEL).suppressed_text is None
    policy = FinalPolicy(publish_suppressed=True)
    assert final(PENDING, silence, MODEL, policy).suppressed_text == "hello there"
    assert final(PENDING, decoded(), MODEL, policy).suppressed_text is None


def test_chinese_has_the_script_of_the_stream():
    policy = FinalPolicy(Orthography({Script.HANT: lambda text: text.replace("发", "發")}))
    traditional = replace(PENDING, options=replace(PENDING.options, languages=("zh-Hant",)))
    words = (TimedWord("发,", 0.0, 0.5, 0.9), TimedWord("好", 0.5, 1.0, 0.9))
    chinese = decoded(text="发,好", language="zh", words=words)
    event = final(traditional, chinese, MODEL, policy)
    assert event.text == "發，好"
    assert event.words is not None
    assert [word.text for word in event.words] == ["發，", "好"]


def test_a_chinese_text_that_repeats_the_default_prompt_is_suppressed():
    echo = decoded(text="以下是普通話的句子。", language="zh", words=None, avg_logprob=-0.75)
    assert "prompt_echo" in final(PENDING, echo, MODEL).quality.reasons


def test_the_dead_letter_of_an_utterance_has_all_options_of_its_session():
    asked = StreamOptions(("en", "zh-Hans"), "so far", "Kafka", Task.TRANSLATE, True, False, 700)
    letter = undecodable(replace(PENDING, options=asked), None)
    chunk = decode_audio(b"call-7", b"fLaC", letter.record.headers)
    assert chunk.options == asked
    assert chunk.problems == ()
    assert (chunk.codec, chunk.start, chunk.captured_ms) == ("flac", 80_000, END_MS - 2_000)
    assert chunk.traceparent == PENDING.traceparent


def test_options_that_exceed_the_limits_of_headers_are_left_out_longest_first():
    text = "\U0001f600" * 1_000
    asked = replace(OPTIONS, languages=("zh-Hans-CN", "zh-Hant-TW"), prompt=text, hotwords=text)
    letter = undecodable(replace(PENDING, options=asked), "ValueError")
    check_limits(letter.record.headers)
    options = decode_audio(b"call-7", b"fLaC", letter.record.headers).options
    assert options == replace(asked, hotwords=None)


def test_a_final_is_unchanged_by_encoding_and_decoding():
    event = final(PENDING, decoded(), MODEL)
    _, value, headers = encode_event(event)
    assert decode_event(headers, value) == event
