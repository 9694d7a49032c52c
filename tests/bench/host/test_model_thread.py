from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.host.model_thread import ROWS, TEXTS, measured, model_thread

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


def test_the_bench_reports_the_model_thread_and_its_targets(run_bench: Callable[..., Any]):
    found = run_bench("host --parts model --rounds 1")
    assert found["figures"]["model thread: words.ms"] > 0
    names = [check["name"] for check in found["checks"]]
    assert names == ["model thread: words", "model thread: text"]
