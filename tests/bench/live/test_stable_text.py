from __future__ import annotations

import pytest
from example_events import transcript_final
from live_observations import CLOCK

from bench.live.observations import ReceivedEvent, ReceivedFinal, ReceivedPartial
from bench.live.stable_text import (
    FinalWithPartials,
    stable_checks,
    stable_figures,
    with_partials,
)
from evaluation.report import Figures
from schemas.transcript import TranscriptPartial, Word


def final(
    text: str, *, utterance: int = 0, seconds: float = 5.0, at_s: float = 10.0
) -> ReceivedFinal:
    words = tuple(Word(f" {word}", i, i + 0.5, 0.9) for i, word in enumerate(text.split()))
    event = transcript_final(
        utterance=utterance, end_s=seconds + 0.2, speech_end_s=seconds, text=text, words=words
    )
    return ReceivedEvent(CLOCK.at_s(at_s), event)


def partial(revision: int, stable: str, at_s: float, *, utterance: int = 0) -> ReceivedPartial:
    event = TranscriptPartial(
        stream_id="s",
        session_id="0-0",
        index=revision,
        time_ms=0,
        utterance=utterance,
        revision=revision,
        start_s=0.0,
        end_s=1.0,
        language="en",
        stable_text=stable,
        tentative_text="",
    )
    return ReceivedEvent(CLOCK.at_s(at_s), event)


def utterance(of: ReceivedFinal, *stable: str) -> FinalWithPartials:
    """Return a final with partials that came from second 2 on, one a second."""
    number = of.event.utterance
    partials = [partial(n, text, 2.0 + n, utterance=number) for n, text in enumerate(stable)]
    (found,) = with_partials([of], partials)
    return found


def figures(*utterances: FinalWithPartials) -> Figures:
    return stable_figures(utterances, {"s": CLOCK})


def test_text_that_only_grows_is_kept():
    found = figures(utterance(final("red green blue white"), "", "red", "red green"))
    assert (found["stable_taken_back_share"], found["stable_changed_share"]) == (0.0, 0.0)
    assert found["stable_before_final_share"] == 0.5
    assert found["partials"] == 3


def test_text_that_is_taken_back_counts_from_where_it_differs():
    replaced = utterance(final("red green"), "red green", "red brown")
    assert replaced.taken_back == len("green")
    assert utterance(final("red green"), "red green", "red").taken_back == len(" green")
    taken_back, _, _ = stable_checks(found := figures(replaced))
    assert found["stable_taken_back_share"] == pytest.approx(len("green") / len("red brown"))
    assert not taken_back.ok


def test_words_that_differ_in_the_final_are_changed():
    found = figures(utterance(final("red blew white"), "red blue"))
    assert found["stable_changed_share"] == 0.5


def test_a_suppressed_final_changes_all_words():
    assert figures(utterance(final(""), "red blue"))["stable_changed_share"] == 1.0


def test_short_utterances_need_no_stable_words_before_their_final():
    short = utterance(final("red green", seconds=3.0), "red")
    long = utterance(final("blue white", utterance=1), "blue white")
    assert figures(short)["stable_before_final_share"] == 0
    assert figures(short, long)["stable_before_final_share"] == 1.0


def test_a_partial_after_the_final_does_not_count_as_before_it():
    late = utterance(final("red green", at_s=2.5), "red", "red green")
    assert late.stable_units == ["red"]
    assert figures(late)["stable_before_final_share"] == 0.5


def test_a_repeated_partial_counts_once():
    partials = [partial(1, "red", 3.0), partial(1, "red", 4.0), partial(0, "", 2.0)]
    (found,) = with_partials([final("red")], partials)
    assert [each.event.revision for each in found.partials] == [0, 1]
    assert found.partials[1].at_s == CLOCK.at_s(3.0)


def test_the_delay_of_a_word_counts_from_its_end():
    found = utterance(final("red green blue"), "red", "red green")
    assert found.delays_s(CLOCK) == [pytest.approx(1.5), pytest.approx(1.5)]


def test_delays_end_with_the_first_word_that_differs_in_the_final():
    found = utterance(final("red green blue"), "", "", "red brown blue")
    assert found.delays_s(CLOCK) == [pytest.approx(3.5)]
