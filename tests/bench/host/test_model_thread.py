from __future__ import annotations

import pytest

from bench.host.model_thread import ROWS, TEXTS, PartClock, measured, model_thread

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_null_model_writes_the_given_texts():
    with model_thread() as thread:
        timed, plain = thread.transcribe(words=True), thread.transcribe(words=False)
    expected = [text.strip() for _, text in TEXTS]
    assert [hypothesis.text for hypothesis in timed] == expected
    assert [hypothesis.text for hypothesis in plain] == expected
    assert ["".join(word.text for word in text.words or ()) for text in timed] == expected
    assert all(text.words is None and text.ended and not text.earlier for text in plain)


def test_figures_are_in_total_and_by_part():
    figures = measured(rounds=1)
    assert {"words.ms", "text.ms", "words.words_ms", "words.alignment_ms"} <= {*figures}
    assert "text.words_ms" not in figures
    assert all(isinstance(value, float) and value > 0 for value in figures.values())
    assert len(TEXTS) == ROWS


def test_an_inner_part_is_not_in_the_outer_one():
    clock = PartClock()
    inner = clock.timed("inner", lambda: sum(range(200_000)))
    outer = clock.timed("outer", inner)
    clock.taken()
    outer()
    seconds = clock.taken()
    assert {*seconds} == {"inner", "outer", "rest"}
    assert seconds["inner"] > seconds["outer"]


def test_a_read_clock_begins_again():
    clock = PartClock()
    clock.timed("part", lambda: None)()
    clock.taken()
    assert {*clock.taken()} == {"rest"}
