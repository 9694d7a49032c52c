from __future__ import annotations

import pytest
from builders import PARTITION
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.partition.utterance_state import (
    TRANSITIONS,
    IllegalMove,
    UtteranceMove,
    UtteranceRecord,
    UtteranceState,
)
from consumer.core.streams.records import SessionKey, UtteranceId

ID = UtteranceId(SessionKey(PARTITION, "s", "0-0"), 0)
STATES = (None, *UtteranceState)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("move", UtteranceMove)
def test_a_move_follows_the_table_or_raises_and_changes_nothing(
    state: UtteranceState | None, move: UtteranceMove
):
    record = UtteranceRecord(ID, state)
    if (state, move) in TRANSITIONS:
        record.advance(move)
        assert record.state is TRANSITIONS[state, move]
    else:
        with pytest.raises(IllegalMove, match=move.name):
            record.advance(move)
        assert record == UtteranceRecord(ID, state)


def reachable(first: UtteranceState | None) -> set[UtteranceState | None]:
    found: set[UtteranceState | None] = {first}
    while more := {to for (state, _), to in TRANSITIONS.items() if state in found} - found:
        found |= more
    return found


def test_every_state_is_reachable_and_every_move_is_used():
    assert reachable(None) == set(STATES)
    assert {move for _, move in TRANSITIONS} == set(UtteranceMove)


def test_committed_is_reachable_from_every_state():
    assert all(UtteranceState.COMMITTED in reachable(state) for state in STATES)


@given(st.lists(st.sampled_from(UtteranceMove), max_size=60))
def test_a_closed_utterance_never_reopens_and_settles_at_most_once(
    moves: list[UtteranceMove],
):
    record, settled = UtteranceRecord(ID), 0
    for move in moves:
        before = record.state
        try:
            record.advance(move)
        except IllegalMove:
            assert record.state is before
            continue
        settled += record.state is UtteranceState.SETTLED
        if before not in {None, UtteranceState.OPEN}:
            assert record.state is not UtteranceState.OPEN
    assert settled <= 1
