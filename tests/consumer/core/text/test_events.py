from __future__ import annotations

from dataclasses import replace

import numpy as np
from builders import MODEL, OPTIONS, PARTITION

from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.streams.entries import PendingUtterance
from consumer.core.streams.records import SessionKey, UtteranceId
from consumer.core.text.chinese import Orthography, Script
from consumer.core.text.events import FinalPolicy, final
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis, TimedWord
from consumer.core.text.quality import confidence
from schemas.codec import decode_event, encode_event
from schemas.transcript import Source, Timing, Verdict, Word

END_MS = 1_700_000_000_000
HEARD = PendingUtterance(
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


def test_a_final_places_its_utterance_in_stream_log_and_time():
    event = final(HEARD, decoded(), MODEL)
    assert event.id == "call-7/0-40/3"
    assert event.index == 4
    assert (event.start_sample, event.end_sample, event.rate) == (80_000, 96_000, 8_000)
    assert (event.start_s, event.end_s) == (10.0, 12.0)
    assert (event.started_at_ms, event.time_ms) == (END_MS - 2_000, END_MS)
    assert event.end_reason == "silence"
    assert event.source == HEARD.source
    assert event.traceparent == HEARD.traceparent


def test_a_final_says_what_was_written_and_by_what():
    event = final(HEARD, decoded(), MODEL)
    assert (event.text, event.language, event.language_probability) == ("hello there", "en", 0.9)
    assert event.model == replace(MODEL, fold=True)
    assert event.confidence == confidence(HYPOTHESIS)
    assert event.quality.verdict is Verdict.ACCEPT


def test_the_language_is_told_by_its_public_name():
    assert final(HEARD, decoded(language="jw"), MODEL).language == "jv"


def test_word_times_lie_on_the_streams_axis():
    event = final(HEARD, decoded(), MODEL)
    assert event.words == (Word("hello", 10.0, 10.5, 0.9), Word(" there", 10.5, 11.25, 0.8))
    assert final(HEARD, decoded(words=None), MODEL).words is None
    assert final(HEARD, decoded(words=()), MODEL).words == ()


def test_words_that_only_partials_needed_are_left_out():
    unasked = replace(HEARD, options=OPTIONS)
    assert final(unasked, decoded(), MODEL) == final(unasked, decoded(words=None), MODEL)


def test_the_time_counts_from_the_end_of_speech():
    assert final(HEARD, decoded(), MODEL).timing == Timing(1_000, 30, 70)


def test_a_suppressed_final_keeps_its_place_and_its_reasons_but_no_text():
    event = final(HEARD, decoded(avg_logprob=-2.0, no_speech_prob=0.9), MODEL)
    assert (event.utterance, event.index) == (3, 4)
    assert (event.text, event.words) == ("", None)
    assert event.quality.verdict is Verdict.SUPPRESSED
    assert "no_speech" in event.quality.reasons


def test_what_was_suppressed_is_told_where_a_setting_allows():
    silence = decoded(avg_logprob=-2.0, no_speech_prob=0.9)
    assert final(HEARD, silence, MODEL).suppressed_text is None
    policy = FinalPolicy(publish_suppressed=True)
    assert final(HEARD, silence, MODEL, policy).suppressed_text == "hello there"
    assert final(HEARD, decoded(), MODEL, policy).suppressed_text is None


def test_chinese_is_written_as_the_stream_asked():
    policy = FinalPolicy(Orthography({Script.HANT: lambda text: text.replace("发", "發")}))
    asked = replace(HEARD, options=replace(HEARD.options, languages=("zh-Hant",)))
    words = (TimedWord("发,", 0.0, 0.5, 0.9), TimedWord("好", 0.5, 1.0, 0.9))
    spoken = decoded(text="发,好", language="zh", words=words)
    event = final(asked, spoken, MODEL, policy)
    assert event.text == "發，好"
    assert event.words is not None
    assert [word.text for word in event.words] == ["發，", "好"]


def test_a_chinese_text_that_repeats_our_own_prompt_is_suppressed():
    echo = decoded(text="以下是普通話的句子。", language="zh", words=None, avg_logprob=-0.75)
    assert "prompt_echo" in final(HEARD, echo, MODEL).quality.reasons


def test_a_final_goes_over_the_wire_as_it_is():
    event = final(HEARD, decoded(), MODEL)
    _, value, headers = encode_event(event)
    assert decode_event(headers, value) == event
