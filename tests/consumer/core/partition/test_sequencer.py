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
def records() -> list[UtteranceRecord]:
    """Four utterances of one session in order, all without texts."""
    stream = OneStream()
    for _ in range(4):
        stream.send(loud(1), flush=True)
    return [
        UtteranceRecord(pending.id, UtteranceState.QUEUED, pending=pending)
        for pending, _ in stream.pending
    ]


@pytest.fixture
def sequencer(records: list[UtteranceRecord]) -> UtteranceSequencer:
    sequencer = UtteranceSequencer()
    for each in records:
        sequencer.expect(each)
    return sequencer


def text(identified: IdentifiedLanguage | None, language: str) -> TimedHypothesis:
    hypothesis = replace(echo(loud(1)), language=language, identified=identified)
    return TimedHypothesis(hypothesis, 0, 0, 0)


def complete(
    sequencer: UtteranceSequencer, record: UtteranceRecord, decoded: TimedHypothesis | None
) -> TurnResult:
    """Decode the record (None: it has failed) and settle; queue the record to redecode, if any."""
    record.state, record.decoded = UtteranceState.DECODED, decoded
    result = sequencer.settle(record.id.session)
    if result.redecode is not None:
        result.redecode.state, result.redecode.was_redecoded = UtteranceState.QUEUED, True
    return result


def numbers(settled: Iterable[UtteranceRecord]) -> list[int]:
    return [record.id.utterance for record in settled]


def test_early_texts_wait_for_their_turn(
    sequencer: UtteranceSequencer, records: list[UtteranceRecord]
):
    assert not complete(sequencer, records[2], text(ZH, "zh")).settled
    assert not complete(sequencer, records[1], text(ZH, "zh")).settled
    result = complete(sequencer, records[0], text(ZH, "zh"))
    assert numbers(result.settled) == [0, 1, 2]
    assert (result.language, result.first, result.redecode) == (
        LanguageHold("zh"),
        records[3],
        None,
    )
    result = complete(sequencer, records[3], text(ZH, "zh"))
    assert (numbers(result.settled), result.first) == ([3], None)


def test_a_text_in_another_language_than_the_held_one_is_redecoded(
    sequencer: UtteranceSequencer, records: list[UtteranceRecord]
):
    """Its text came before the session held a language."""
    complete(sequencer, records[1], text(SHORT_EN, "en"))
    result = complete(sequencer, records[0], text(ZH, "zh"))
    assert numbers(result.settled) == [0]
    assert result.redecode is records[1]
    assert records[1].pending is not None
    assert records[1].pending.language == LanguageHold("zh")
    later = complete(sequencer, records[2], text(ZH, "zh"))
    assert (later.settled, later.redecode) == ((), None)
    result = complete(sequencer, records[1], text(SHORT_EN, "zh"))
    assert numbers(result.settled) == [1, 2]
    assert result.language == LanguageHold("zh")


def test_an_utterance_is_redecoded_at_most_once(
    sequencer: UtteranceSequencer, records: list[UtteranceRecord]
):
    """Else an engine that ignores the held language would be asked forever."""
    complete(sequencer, records[0], text(ZH, "zh"))
    assert complete(sequencer, records[1], text(SHORT_EN, "en")).redecode is not None
    assert numbers(complete(sequencer, records[1], text(SHORT_EN, "en")).settled) == [1]


def test_a_failed_utterance_settles_and_keeps_the_held_language(
    sequencer: UtteranceSequencer, records: list[UtteranceRecord]
):
    complete(sequencer, records[0], text(ZH, "zh"))
    result = complete(sequencer, records[1], None)
    assert (numbers(result.settled), result.language) == ([1], LanguageHold("zh"))


def test_a_configured_language_is_not_held(
    sequencer: UtteranceSequencer, records: list[UtteranceRecord]
):
    result = complete(sequencer, records[0], text(None, "de"))
    assert (numbers(result.settled), result.language) == ([0], UNKNOWN)


def test_sessions_do_not_wait_for_each_other(
    sequencer: UtteranceSequencer, records: list[UtteranceRecord]
):
    assert records[0].pending is not None
    id_ = records[0].id._replace(session=SessionKey(PARTITION, "s", "0-9"))
    pending = replace(records[0].pending, id=id_, language=LanguageHold("en"))
    other = UtteranceRecord(id_, UtteranceState.QUEUED, pending=pending)
    sequencer.expect(other)
    result = complete(sequencer, other, text(EN, "en"))
    assert (numbers(result.settled), result.language) == ([0], LanguageHold("en"))
    assert result.first is None
