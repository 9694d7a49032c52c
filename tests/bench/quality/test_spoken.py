from __future__ import annotations

import pytest

from bench.quality.spoken import accuracy


@pytest.mark.parametrize(
    ("reference", "text", "language", "right", "words"),
    [
        ("three five one", "3, 5, 1.", "en", 1.0, 3),
        ("three five one", "351", "en", 1.0, 3),
        ("the cat sat down", "The cat sat.", "en", 0.75, 4),
        ("hello", "hello and so on", "en", 0.0, 1),
        ("二零一五年", "2015年", "zh", 1.0, 5),
        ("开放时间", "開放时间。", "zh", 1.0, 4),
        ("开放时间", "", "zh", 0.0, 4),
    ],
)
def test_accuracy_counts_numbers_in_any_form_as_correct(
    reference: str, text: str, language: str, right: float, words: int
):
    assert accuracy(reference, text, language) == (right, words)
