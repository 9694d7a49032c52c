from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from builders import OPTIONS, PARTITION, RATE

from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.partition.interim import Interim, InterimPolicy, started
from consumer.core.streams.entries import InterimDecode
from consumer.core.streams.records import SessionKey, UtteranceId
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.testing import echo

SESSION = SessionKey(PARTITION, "call-7", "0-40")
POLICY = InterimPolicy(every_s=0.7, eager=True)
PARTIALS = replace(OPTIONS, partials=True)


def utterance(end_s: float) -> Utterance:
    end = round(end_s * RATE)
    speech = Speech(1.0, 1.0, 1.0)
    audio = np.zeros(end, np.int16)
    return Utterance(0, 0, end, end, RATE, audio, EndReason.SILENCE, speech)


def decode(end_s: float, *, ending: bool = False, **more: Any) -> InterimDecode:
    options = more.get("options", PARTIALS)
    return InterimDecode(UtteranceId(SESSION, 0), utterance(end_s), options, ending, 0, 0, 10.0)


def text(words: str) -> TimedHypothesis:
    return TimedHypothesis(replace(echo(np.zeros(0, np.int16)), text=words), 5, 80, 1_000)


def requested(interim: Interim, *ends: float) -> list[float]:
    return [end for end in ends if interim.request(decode(end), POLICY)]


def test_the_start_event_names_the_utterance():
    event = started(decode(0.5))
    assert (event.stream_id, event.session_id) == ("call-7", "0-40")
    assert (event.utterance, event.start_s) == (0, 0.0)


def test_an_interim_is_requested_per_interval_of_new_audio_and_first_after_a_third():
    interim = Interim(0)
    assert requested(interim, 0.2, 0.3, 0.5, 0.8) == [0.3, 0.8]
    assert interim.revise(decode(0.8), text("one").hypothesis)
    assert requested(interim, 1.2, 1.4, 1.5, 2.1, 2.2, 3.5) == [1.5, 2.2, 3.5]


def test_without_a_text_short_intervals_apply_only_at_the_start():
    ends = [number / 10 for number in range(1, 40)]
    assert requested(Interim(0), *ends) == [*(0.3, 0.6, 0.9, 1.2), *(1.9, 2.6, 3.3)]


def test_a_stream_without_partials_requests_no_interim_decode():
    assert not Interim(0).request(decode(5.0, options=OPTIONS), POLICY)


def test_partials_are_numbered_and_their_stable_text_grows():
    interim = Interim(0)
    partials = [
        interim.revise(decode(end), text(words).hypothesis)
        for end, words in ((1, "one two"), (2, "one two three"), (3, "one two three four"))
    ]
    assert [(p.revision, p.stable_text, p.end_s) for p in partials] == [
        (1, "", 1.0),
        (2, "one two", 2.0),
        (3, "one two three", 3.0),
    ]


def test_a_probable_end_is_decoded_once_and_its_text_is_kept():
    interim = Interim(0)
    ending = decode(2.0, ending=True, options=OPTIONS)
    assert interim.request(ending, POLICY)
    assert not interim.request(ending, POLICY)
    assert interim.text_of(utterance(2.0)) is None
    interim.keep(ending, text("all of it"))
    kept = interim.text_of(utterance(2.0))
    assert kept is not None
    assert kept.hypothesis.text == "all of it"
    assert interim.text_of(utterance(2.1)) is None


def test_without_eager_a_probable_end_is_not_decoded():
    waiting = InterimPolicy(every_s=0.7, eager=False)
    assert not Interim(0).request(decode(2.0, ending=True, options=OPTIONS), waiting)


def test_more_speech_discards_the_kept_text():
    interim = Interim(0)
    for end in (2.0, 3.0):
        assert interim.request(decode(end, ending=True), POLICY)
    interim.keep(decode(2.0, ending=True), text("some of it"))
    assert interim.text_of(utterance(3.0)) is None
    assert interim.text_of(utterance(2.0)) is None


def test_an_answer_counts_once_and_discards_older_requests():
    interim = Interim(0)
    assert requested(interim, 1.0, 2.0) == [1.0, 2.0]
    assert interim.answered(utterance(2.0)) is not None
    assert interim.answered(utterance(2.0)) is None
    assert interim.answered(utterance(1.0)) is None


def test_at_most_two_requests_are_outstanding():
    interim = Interim(0)
    assert requested(interim, 1.0, 2.0, 3.0) == [1.0, 2.0, 3.0]
    assert interim.answered(utterance(1.0)) is None
    assert interim.answered(utterance(2.0)) is not None
    assert interim.answered(utterance(3.0)) is not None
