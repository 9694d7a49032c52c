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


def chosen(identified: Iterable[IdentifiedLanguage], held: LanguageHold | None = None) -> list[str]:
    """Return the language that each utterance of a stream is decoded in."""
    held = held or LanguageHold()
    codes = []
    for each in identified:
        codes.append(held.decide(each))
        held = held.updated(each)
    return codes


def test_the_first_utterance_is_decoded_in_its_own_language():
    assert chosen([CLEAR_ZH]) == ["zh"]
    assert chosen([UNLIKELY_EN, SHORT_EN]) == ["en", "en"]


def test_a_doubtful_first_language_is_not_held():
    assert chosen([SHORT_EN, CLEAR_ZH, UNLIKELY_EN]) == ["en", "zh", "zh"]


@pytest.mark.parametrize("doubtful", [UNLIKELY_EN, SHORT_EN, LIKELY_EN])
def test_one_doubtful_utterance_does_not_change_the_held_language(doubtful: IdentifiedLanguage):
    assert chosen([CLEAR_ZH, doubtful, CLEAR_ZH]) == ["zh"] * 3


def test_short_and_unlikely_utterances_never_change_the_held_language():
    assert chosen([CLEAR_ZH, *[SHORT_EN, UNLIKELY_EN] * 50, CLEAR_ZH]) == ["zh"] * 102


def test_a_clear_utterance_changes_the_held_language_at_once():
    assert chosen([CLEAR_ZH, CLEAR_EN, CLEAR_ZH]) == ["zh", "en", "zh"]


def test_two_likely_utterances_in_a_row_change_the_held_language():
    assert chosen([CLEAR_ZH, LIKELY_EN, LIKELY_EN]) == ["zh", "zh", "en"]
    assert chosen([CLEAR_ZH, LIKELY_EN, SHORT_EN, LIKELY_EN]) == ["zh", "zh", "zh", "en"]


def test_two_likely_utterances_that_disagree_do_not_change_it():
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
def test_likely_and_clear_follow_their_thresholds(
    probability: float, speech_s: float, likely: bool, clear: bool
):
    identified = IdentifiedLanguage("en", probability, speech_s)
    assert (identified.is_likely, identified.is_clear) == (likely, clear)


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
def test_a_replay_needs_only_the_held_language(identified: list[IdentifiedLanguage], cut: int):
    held = LanguageHold()
    for each in identified[:cut]:
        held = held.updated(each)
    restored = LanguageHold(held.code, held.challenger)
    assert chosen(identified[cut:], restored) == chosen(identified)[cut:]


def test_the_likeliest_allowed_language_has_its_share_of_the_probability():
    probabilities = {"ja": 0.6, "zh": 0.3, "en": 0.1}
    assert identify(probabilities, ("en", "zh"), 2.0) == IdentifiedLanguage(
        "zh", pytest.approx(0.75), 2.0
    )
    assert identify(probabilities, (), 2.0) == IdentifiedLanguage("ja", pytest.approx(0.6), 2.0)


def test_without_probabilities_no_language_is_likely():
    assert not identify({"zh": 0.0, "en": 0.0}, ("zh", "en"), 9.0).is_likely
