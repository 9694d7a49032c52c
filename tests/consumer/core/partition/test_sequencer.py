from __future__ import annotations

from dataclasses import replace

import pytest
from builders import PARTITION, loud
from one_stream import OneStream

from consumer.core.partition.sequencer import Turns
from consumer.core.streams.entries import Heard
from consumer.core.streams.language import UNKNOWN, Identified, LanguageHold
from consumer.core.streams.records import SessionKey
from consumer.core.text.hypothesis import Decoded
from consumer.testing import echo

ZH = Identified("zh", 0.95, 3.0)
EN = Identified("en", 0.95, 3.0)
SHORT_EN = Identified("en", 0.8, 0.5)


@pytest.fixture
def heard() -> list[Heard]:
    """The utterances of one session, in order."""
    stream = OneStream()
    for _ in range(4):
        stream.send(loud(1), flush=True)
    return stream.heard


@pytest.fixture
def turns(heard: list[Heard]) -> Turns:
    turns = Turns()
    for each in heard:
        turns.expect(each)
    return turns


def text(sounds: Identified | None, language: str) -> Decoded:
    hypothesis = replace(echo(loud(1)), language=language, identified=sounds)
    return Decoded(hypothesis, 0, 0, 0)


def numbers(settled: object) -> list[int]:
    return [each.utterance.number for each, _ in settled]  # type: ignore[attr-defined]


def test_texts_that_come_early_wait_for_their_turn(turns: Turns, heard: list[Heard]):
    assert not turns.tell(heard[2], text(ZH, "zh")).settled
    assert not turns.tell(heard[1], text(ZH, "zh")).settled
    told = turns.tell(heard[0], text(ZH, "zh"))
    assert numbers(told.settled) == [0, 1, 2]
    assert (told.held, told.first, told.again) == (LanguageHold("zh"), heard[3], None)
    told = turns.tell(heard[3], text(ZH, "zh"))
    assert (numbers(told.settled), told.first) == ([3], None)


def test_what_was_taken_for_another_language_is_decoded_again(turns: Turns, heard: list[Heard]):
    """It was decoded before anything was held."""
    turns.tell(heard[1], text(SHORT_EN, "en"))
    told = turns.tell(heard[0], text(ZH, "zh"))
    assert numbers(told.settled) == [0]
    assert told.again is not None
    assert (told.again.id, told.again.held) == (heard[1].id, LanguageHold("zh"))
    later = turns.tell(heard[2], text(ZH, "zh"))
    assert (later.settled, later.again) == ([], None)
    told = turns.tell(told.again, text(SHORT_EN, "zh"))
    assert numbers(told.settled) == [1, 2]
    assert told.held == LanguageHold("zh")


def test_once_is_enough(turns: Turns, heard: list[Heard]):
    """An engine that goes its own way is not asked for ever."""
    turns.tell(heard[0], text(ZH, "zh"))
    assert turns.tell(heard[1], text(SHORT_EN, "en")).again is not None
    assert numbers(turns.tell(heard[1], text(SHORT_EN, "en")).settled) == [1]


def test_an_utterance_without_a_text_says_nothing(turns: Turns, heard: list[Heard]):
    turns.tell(heard[0], text(ZH, "zh"))
    told = turns.tell(heard[1], None)
    assert (numbers(told.settled), told.held) == ([1], LanguageHold("zh"))


def test_a_language_that_was_given_is_not_held(turns: Turns, heard: list[Heard]):
    told = turns.tell(heard[0], text(None, "de"))
    assert (numbers(told.settled), told.held) == ([0], UNKNOWN)


def test_sessions_do_not_wait_for_each_other(turns: Turns, heard: list[Heard]):
    other = replace(
        heard[0],
        id=heard[0].id._replace(session=SessionKey(PARTITION, "s", "0-9")),
        held=LanguageHold("en"),
    )
    turns.expect(other)
    told = turns.tell(other, text(EN, "en"))
    assert (numbers(told.settled), told.held, told.first) == ([0], LanguageHold("en"), None)
