from __future__ import annotations

from dataclasses import replace

import pytest
from builders import PARTITION, loud
from one_stream import OneStream

from consumer.core.partition.sequencer import UtteranceSequencer
from consumer.core.streams.entries import PendingUtterance
from consumer.core.streams.language import UNKNOWN, IdentifiedLanguage, LanguageHold
from consumer.core.streams.records import SessionKey
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.testing import echo

ZH = IdentifiedLanguage("zh", 0.95, 3.0)
EN = IdentifiedLanguage("en", 0.95, 3.0)
SHORT_EN = IdentifiedLanguage("en", 0.8, 0.5)


@pytest.fixture
def heard() -> list[PendingUtterance]:
    """The utterances of one session, in order."""
    stream = OneStream()
    for _ in range(4):
        stream.send(loud(1), flush=True)
    return stream.heard


@pytest.fixture
def turns(heard: list[PendingUtterance]) -> UtteranceSequencer:
    turns = UtteranceSequencer()
    for each in heard:
        turns.expect(each)
    return turns


def text(sounds: IdentifiedLanguage | None, language: str) -> TimedHypothesis:
    hypothesis = replace(echo(loud(1)), language=language, identified=sounds)
    return TimedHypothesis(hypothesis, 0, 0, 0)


def numbers(settled: object) -> list[int]:
    return [each.utterance.number for each, _ in settled]  # type: ignore[attr-defined]


def test_texts_that_come_early_wait_for_their_turn(
    turns: UtteranceSequencer, heard: list[PendingUtterance]
):
    assert not turns.complete(heard[2], text(ZH, "zh")).settled
    assert not turns.complete(heard[1], text(ZH, "zh")).settled
    told = turns.complete(heard[0], text(ZH, "zh"))
    assert numbers(told.settled) == [0, 1, 2]
    assert (told.language, told.first, told.redecode) == (LanguageHold("zh"), heard[3], None)
    told = turns.complete(heard[3], text(ZH, "zh"))
    assert (numbers(told.settled), told.first) == ([3], None)


def test_what_was_taken_for_another_language_is_decoded_again(
    turns: UtteranceSequencer, heard: list[PendingUtterance]
):
    """It was decoded before anything was held."""
    turns.complete(heard[1], text(SHORT_EN, "en"))
    told = turns.complete(heard[0], text(ZH, "zh"))
    assert numbers(told.settled) == [0]
    assert told.redecode is not None
    assert (told.redecode.id, told.redecode.language) == (heard[1].id, LanguageHold("zh"))
    later = turns.complete(heard[2], text(ZH, "zh"))
    assert (later.settled, later.redecode) == ([], None)
    told = turns.complete(told.redecode, text(SHORT_EN, "zh"))
    assert numbers(told.settled) == [1, 2]
    assert told.language == LanguageHold("zh")


def test_once_is_enough(turns: UtteranceSequencer, heard: list[PendingUtterance]):
    """An engine that goes its own way is not asked for ever."""
    turns.complete(heard[0], text(ZH, "zh"))
    assert turns.complete(heard[1], text(SHORT_EN, "en")).redecode is not None
    assert numbers(turns.complete(heard[1], text(SHORT_EN, "en")).settled) == [1]


def test_an_utterance_without_a_text_says_nothing(
    turns: UtteranceSequencer, heard: list[PendingUtterance]
):
    turns.complete(heard[0], text(ZH, "zh"))
    told = turns.complete(heard[1], None)
    assert (numbers(told.settled), told.language) == ([1], LanguageHold("zh"))


def test_a_language_that_was_given_is_not_held(
    turns: UtteranceSequencer, heard: list[PendingUtterance]
):
    told = turns.complete(heard[0], text(None, "de"))
    assert (numbers(told.settled), told.language) == ([0], UNKNOWN)


def test_sessions_do_not_wait_for_each_other(
    turns: UtteranceSequencer, heard: list[PendingUtterance]
):
    other = replace(
        heard[0],
        id=heard[0].id._replace(session=SessionKey(PARTITION, "s", "0-9")),
        language=LanguageHold("en"),
    )
    turns.expect(other)
    told = turns.complete(other, text(EN, "en"))
    assert (numbers(told.settled), told.language, told.first) == ([0], LanguageHold("en"), None)
