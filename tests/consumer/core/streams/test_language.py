from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.streams.language import (
    CLEAR,
    LIKELY,
    SHORTEST_S,
    IdentifiedLanguage,
    LanguageHold,
    identify,
)

CLEAR_ZH = IdentifiedLanguage("zh", 0.95, 3.0)
CLEAR_EN = IdentifiedLanguage("en", 0.95, 3.0)
LIKELY_EN = IdentifiedLanguage("en", 0.7, 3.0)
LIKELY_JA = IdentifiedLanguage("ja", 0.7, 3.0)
UNLIKELY_EN = IdentifiedLanguage("en", 0.45, 3.0)
SHORT_EN = IdentifiedLanguage("en", 0.99, 0.6)


def chosen(heard: Iterable[IdentifiedLanguage], held: LanguageHold | None = None) -> list[str]:
    """What each utterance of a stream is decoded as."""
    held = held or LanguageHold()
    codes = []
    for each in heard:
        codes.append(held.decide(each))
        held = held.updated(each)
    return codes


def test_a_stream_begins_as_it_sounds():
    assert chosen([CLEAR_ZH]) == ["zh"]
    assert chosen([UNLIKELY_EN, SHORT_EN]) == ["en", "en"]


def test_a_doubtful_beginning_is_not_held():
    assert chosen([SHORT_EN, CLEAR_ZH, UNLIKELY_EN]) == ["en", "zh", "zh"]


@pytest.mark.parametrize("doubtful", [UNLIKELY_EN, SHORT_EN, LIKELY_EN])
def test_one_doubtful_utterance_does_not_turn_a_stream(doubtful: IdentifiedLanguage):
    assert chosen([CLEAR_ZH, doubtful, CLEAR_ZH]) == ["zh"] * 3


def test_short_and_noisy_utterances_never_turn_it():
    assert chosen([CLEAR_ZH, *[SHORT_EN, UNLIKELY_EN] * 50, CLEAR_ZH]) == ["zh"] * 102


def test_a_clear_utterance_turns_it_at_once():
    assert chosen([CLEAR_ZH, CLEAR_EN, CLEAR_ZH]) == ["zh", "en", "zh"]


def test_two_likely_utterances_in_a_row_turn_it():
    assert chosen([CLEAR_ZH, LIKELY_EN, LIKELY_EN]) == ["zh", "zh", "en"]
    assert chosen([CLEAR_ZH, LIKELY_EN, SHORT_EN, LIKELY_EN]) == ["zh", "zh", "zh", "en"]


def test_two_that_do_not_agree_do_not():
    assert chosen([CLEAR_ZH, *[LIKELY_EN, LIKELY_JA] * 5]) == ["zh"] * 11
    assert chosen([CLEAR_ZH, LIKELY_EN, CLEAR_ZH, LIKELY_EN]) == ["zh"] * 4


@pytest.mark.parametrize(
    ("probability", "speech_s", "likely", "clear"),
    [
        (LIKELY, SHORTEST_S, True, False),
        (LIKELY - 0.01, 9.0, False, False),
        (CLEAR, SHORTEST_S, True, True),
        (CLEAR - 0.01, 9.0, True, False),
        (1.0, SHORTEST_S - 0.01, False, False),
    ],
)
def test_likely_and_clear_have_their_thresholds(
    probability: float, speech_s: float, likely: bool, clear: bool
):
    heard = IdentifiedLanguage("en", probability, speech_s)
    assert (heard.is_likely, heard.is_clear) == (likely, clear)


@given(
    st.lists(
        st.builds(
            IdentifiedLanguage,
            st.sampled_from(["zh", "en", "ja"]),
            st.floats(0, 1),
            st.floats(0, 5),
        ),
        max_size=20,
    ),
    st.integers(0, 20),
)
def test_what_is_held_is_all_that_a_replay_needs(heard: list[IdentifiedLanguage], cut: int):
    held = LanguageHold()
    for each in heard[:cut]:
        held = held.updated(each)
    restored = LanguageHold(held.code, held.challenger)
    assert chosen(heard[cut:], restored) == chosen(heard)[cut:]


def test_the_likeliest_of_those_allowed_is_told_by_its_share():
    probabilities = {"ja": 0.6, "zh": 0.3, "en": 0.1}
    assert identify(probabilities, ("en", "zh"), 2.0) == IdentifiedLanguage(
        "zh", pytest.approx(0.75), 2.0
    )
    assert identify(probabilities, (), 2.0) == IdentifiedLanguage("ja", pytest.approx(0.6), 2.0)


def test_without_any_probability_nothing_is_likely():
    assert not identify({"zh": 0.0, "en": 0.0}, ("zh", "en"), 9.0).is_likely
