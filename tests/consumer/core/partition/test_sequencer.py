from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from builders import PARTITION, loud
from stream_harness import OneStream

from consumer.core.partition.sequencer import TurnResult, UtteranceSequencer
from consumer.core.partition.utterance_state import UtteranceRecord, UtteranceState
from consumer.core.streams.language import UNKNOWN, IdentifiedLanguage, LanguageHold
from consumer.core.streams.records import SessionKey
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.testing import echo

ZH = IdentifiedLanguage("zh", 0.95, 3.0)
EN = IdentifiedLanguage("en", 0.95, 3.0)
SHORT_EN = IdentifiedLanguage("en", 0.8, 0.5)


@pytest.fixture
def heard() -> list[UtteranceRecord]:
    """The utterances of one session, in order, as they wait for their texts."""
    stream = OneStream()
    for _ in range(4):
        stream.send(loud(1), flush=True)
    return [
        UtteranceRecord(pending.id, UtteranceState.QUEUED, pending=pending)
        for pending, _ in stream.heard
    ]


@pytest.fixture
def turns(heard: list[UtteranceRecord]) -> UtteranceSequencer:
    turns = UtteranceSequencer()
    for each in heard:
        turns.expect(each)
    return turns


def text(sounds: IdentifiedLanguage | None, language: str) -> TimedHypothesis:
    hypothesis = replace(echo(loud(1)), language=language, identified=sounds)
    return TimedHypothesis(hypothesis, 0, 0, 0)


def complete(
    turns: UtteranceSequencer, record: UtteranceRecord, decoded: TimedHypothesis | None
) -> TurnResult:
    """The text has come, or there will be none; an utterance to decode again waits once more."""
    record.state, record.decoded = UtteranceState.DECODED, decoded
    result = turns.settle(record.id.session)
    if result.redecode is not None:
        result.redecode.state, result.redecode.was_redecoded = UtteranceState.QUEUED, True
    return result


def numbers(settled: Iterable[UtteranceRecord]) -> list[int]:
    return [record.id.utterance for record in settled]


def test_texts_that_come_early_wait_for_their_turn(
    turns: UtteranceSequencer, heard: list[UtteranceRecord]
):
    assert not complete(turns, heard[2], text(ZH, "zh")).settled
    assert not complete(turns, heard[1], text(ZH, "zh")).settled
    result = complete(turns, heard[0], text(ZH, "zh"))
    assert numbers(result.settled) == [0, 1, 2]
    assert (result.language, result.first, result.redecode) == (LanguageHold("zh"), heard[3], None)
    result = complete(turns, heard[3], text(ZH, "zh"))
    assert (numbers(result.settled), result.first) == ([3], None)


def test_what_was_taken_for_another_language_is_decoded_again(
    turns: UtteranceSequencer, heard: list[UtteranceRecord]
):
    """It was decoded before anything was held."""
    complete(turns, heard[1], text(SHORT_EN, "en"))
    result = complete(turns, heard[0], text(ZH, "zh"))
    assert numbers(result.settled) == [0]
    assert result.redecode is heard[1]
    assert heard[1].pending is not None
    assert heard[1].pending.language == LanguageHold("zh")
    later = complete(turns, heard[2], text(ZH, "zh"))
    assert (later.settled, later.redecode) == ((), None)
    result = complete(turns, heard[1], text(SHORT_EN, "zh"))
    assert numbers(result.settled) == [1, 2]
    assert result.language == LanguageHold("zh")


def test_once_is_enough(turns: UtteranceSequencer, heard: list[UtteranceRecord]):
    """An engine that goes its own way is not asked for ever."""
    complete(turns, heard[0], text(ZH, "zh"))
    assert complete(turns, heard[1], text(SHORT_EN, "en")).redecode is not None
    assert numbers(complete(turns, heard[1], text(SHORT_EN, "en")).settled) == [1]


def test_an_utterance_without_a_text_says_nothing(
    turns: UtteranceSequencer, heard: list[UtteranceRecord]
):
    complete(turns, heard[0], text(ZH, "zh"))
    result = complete(turns, heard[1], None)
    assert (numbers(result.settled), result.language) == ([1], LanguageHold("zh"))


def test_a_language_that_was_given_is_not_held(
    turns: UtteranceSequencer, heard: list[UtteranceRecord]
):
    result = complete(turns, heard[0], text(None, "de"))
    assert (numbers(result.settled), result.language) == ([0], UNKNOWN)


def test_sessions_do_not_wait_for_each_other(
    turns: UtteranceSequencer, heard: list[UtteranceRecord]
):
    assert heard[0].pending is not None
    id_ = heard[0].id._replace(session=SessionKey(PARTITION, "s", "0-9"))
    pending = replace(heard[0].pending, id=id_, language=LanguageHold("en"))
    other = UtteranceRecord(id_, UtteranceState.QUEUED, pending=pending)
    turns.expect(other)
    result = complete(turns, other, text(EN, "en"))
    assert (numbers(result.settled), result.language) == ([0], LanguageHold("en"))
    assert result.first is None
