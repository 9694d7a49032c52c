from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from builders import OPTIONS, PARTITION, RATE

from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.partition.interim import InterimDecodes, InterimPolicy
from consumer.core.streams.entries import EntryId, InterimDecode, PendingUtterance
from consumer.core.streams.records import SessionKey, UtteranceId
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.testing import echo
from schemas.transcript import Source, UtteranceStarted

SESSION = SessionKey(PARTITION, "call-7", "0-40")
POLICY = InterimPolicy(every_s=0.7, eager=True)
ASKING = replace(OPTIONS, partials=True)


def utterance(end_s: float, number: int = 0) -> Utterance:
    end = round(end_s * RATE)
    heard = Speech(1.0, 1.0, 1.0)
    audio = np.zeros(end, np.int16)
    return Utterance(number, 0, end, end, RATE, audio, EndReason.SILENCE, heard)


def draft(end_s: float, *, number: int = 0, ending: bool = False, **more: Any) -> InterimDecode:
    options = more.get("options", ASKING)
    return InterimDecode(
        UtteranceId(SESSION, number), utterance(end_s, number), options, ending, 0, 0, 10.0
    )


def text(words: str) -> TimedHypothesis:
    return TimedHypothesis(replace(echo(np.zeros(0, np.int16)), text=words), 5, 80, 1_000)


def asked(drafts: InterimDecodes, each: InterimDecode) -> bool:
    drafts.begin(each)
    return drafts.wants(each)


def ended(end_s: float, number: int = 0) -> PendingUtterance:
    return PendingUtterance(
        id=UtteranceId(SESSION, number),
        entry=EntryId("call-7", 0),
        utterance=utterance(end_s, number),
        options=OPTIONS,
        index=1,
        started_at_ms=0,
        speech_end_ms=0,
        ended_at_ms=0,
        source=Source(*PARTITION, 0, 0),
        traceparent=None,
    )


def test_a_beginning_is_told_once_and_only_to_who_asks():
    drafts = InterimDecodes(POLICY)
    begun = drafts.begin(draft(0.5))
    assert isinstance(begun, UtteranceStarted)
    assert drafts.begin(draft(0.6)) is None
    assert drafts.begin(draft(0.5, number=1)) is not None
    assert drafts.begin(draft(0.5, number=2, options=OPTIONS)) is None


def test_a_partial_is_worth_so_much_new_audio_and_the_first_one_a_third_of_it():
    drafts = InterimDecodes(POLICY)
    assert [end for end in (0.2, 0.3, 0.5, 0.8) if asked(drafts, draft(end))] == [0.3, 0.8]
    assert drafts.decoded(draft(0.8), text("one"), text("one").hypothesis)
    wanted = [end for end in (1.2, 1.4, 1.5, 2.1, 2.2, 3.5) if asked(drafts, draft(end))]
    assert wanted == [1.5, 2.2, 3.5]


def test_without_a_text_it_is_tried_often_only_at_the_beginning():
    drafts = InterimDecodes(POLICY)
    ends = [number / 10 for number in range(1, 40)]
    assert [end for end in ends if asked(drafts, draft(end))] == [
        *(0.3, 0.6, 0.9, 1.2),
        *(1.9, 2.6, 3.3),
    ]


def test_who_does_not_ask_gets_none():
    drafts = InterimDecodes(POLICY)
    assert not asked(drafts, draft(5.0, options=OPTIONS))


def test_partials_are_numbered_and_agree():
    drafts = InterimDecodes(POLICY)
    told = []
    for end, words in ((1, "one two"), (2, "one two three"), (3, "one two three four")):
        each = draft(float(end))
        assert asked(drafts, each)
        told.append(drafts.decoded(each, text(words), text(words).hypothesis))
    assert [(p.revision, p.stable_text, p.end_s) for p in told if p] == [
        (1, "", 1.0),
        (2, "one two", 2.0),
        (3, "one two three", 3.0),
    ]


def test_a_draft_that_would_not_be_published_is_not_shown():
    drafts = InterimDecodes(POLICY)
    assert asked(drafts, draft(1.0))
    assert drafts.decoded(draft(1.0), text("Thanks for watching"), None) is None


def test_what_seems_to_end_is_decoded_once_and_is_the_finals_text():
    drafts = InterimDecodes(POLICY)
    ending = draft(2.0, ending=True, options=OPTIONS)
    assert asked(drafts, ending)
    assert not asked(drafts, ending)
    assert drafts.decoded(ending, text("all of it"), None) is None
    taken = drafts.text(ended(2.0), 1_300)
    assert taken is not None
    assert (taken.hypothesis.text, taken.queue_ms, taken.done_ms) == ("all of it", 0, 1_300)
    drafts.end(ending.id)
    assert drafts.text(ended(2.0), 1_300) is None


def test_a_text_that_does_not_stand_comes_with_what_was_tried():
    drafts = InterimDecodes(POLICY)
    ending = draft(2.0, ending=True, options=OPTIONS)
    assert asked(drafts, ending)
    doubtful = text("la la la la")
    tried = replace(doubtful.hypothesis, earlier=(doubtful.hypothesis,))
    drafts.decoded(ending, replace(doubtful, hypothesis=tried), None)
    taken = drafts.text(ended(2.0), 0)
    assert taken is not None
    assert taken.hypothesis.earlier == (doubtful.hypothesis,)


def test_more_speech_makes_it_void():
    drafts = InterimDecodes(POLICY)
    for end in (2.0, 3.0):
        ending = draft(end, ending=True)
        assert asked(drafts, ending)
    drafts.decoded(draft(2.0, ending=True), text("some of it"), None)
    assert drafts.text(ended(3.0), 0) is None


def test_an_answer_that_comes_late_is_dropped():
    drafts = InterimDecodes(POLICY)
    assert asked(drafts, draft(1.0))
    assert asked(drafts, draft(1.0, number=1))
    assert drafts.decoded(draft(1.0), text("late"), text("late").hypothesis) is None
