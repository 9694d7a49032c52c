from __future__ import annotations

import pytest
from example_events import transcript_final

from bench.live.heard import Axis, Final, Partial
from bench.live.stable import Promises, delays, promises, stories
from schemas.transcript import TranscriptPartial, Word

AXIS = Axis(100.0, 1.0)


def final(text: str, *, seconds: float = 5.0, at_s: float = 110.0) -> Final:
    words = tuple(Word(f" {word}", i, i + 0.5, 0.9) for i, word in enumerate(text.split()))
    event = transcript_final(end_s=seconds + 0.2, speech_end_s=seconds, text=text, words=words)
    return Final("s", 0.0, seconds + 0.2, text, at_s, event)


def partial(revision: int, stable: str, at_s: float) -> Partial:
    event = TranscriptPartial(
        stream_id="s",
        session_id="0-0",
        index=revision,
        time_ms=0,
        utterance=0,
        revision=revision,
        start_s=0.0,
        end_s=1.0,
        language="en",
        stable_text=stable,
        tentative_text="",
    )
    return Partial(at_s, event)


def told(said: Final, *stable: str) -> Promises:
    partials = [partial(n, text, 102.0 + n) for n, text in enumerate(stable)]
    return promises(stories(partials, [said]), {"s": AXIS})


def test_text_that_only_grows_is_kept():
    found = told(final("red green blue white"), "", "red", "red green")
    assert (found.taken_back_share, found.changed_share) == (0.0, 0.0)
    assert found.early_share == 0.5


def test_text_that_is_taken_back_is_counted_from_where_it_differs():
    assert told(final("red green"), "red green", "red brown").taken_back == len("green")
    assert told(final("red green"), "red green", "red").taken_back == len(" green")


def test_words_that_the_final_says_otherwise_are_counted():
    found = told(final("red blew white"), "red blue")
    assert found.changed_share == 0.5


def test_a_suppressed_final_changes_all():
    assert told(final(""), "red blue").changed_share == 1.0


def test_words_of_short_utterances_are_not_waited_for():
    assert told(final("red green", seconds=3.0), "red").long_words == 0


def test_what_came_behind_the_final_was_not_before_it():
    found = told(final("red green", at_s=102.5), "red", "red green")
    assert (found.stable_words, found.long_stable_words) == (1, 1)


def test_a_repeated_partial_counts_once():
    partials = [partial(1, "red", 103.0), partial(1, "red", 104.0), partial(0, "", 102.0)]
    (story,) = stories(partials, [final("red")])
    assert [p.event.revision for p in story.partials] == [0, 1]
    assert story.partials[1].at_s == 103.0


def test_a_word_is_late_by_what_passed_since_its_end():
    partials = [partial(0, "red", 102.0), partial(1, "red green", 103.0)]
    (story,) = stories(partials, [final("red green blue")])
    assert delays(story, AXIS) == [pytest.approx(1.5), pytest.approx(1.5)]


def test_what_the_final_says_otherwise_has_no_time():
    (story,) = stories([partial(0, "red brown blue", 104.0)], [final("red green blue")])
    assert delays(story, AXIS) == [pytest.approx(3.5)]
