from __future__ import annotations

import pytest

from bench.__main__ import main as bench
from bench.quality.chinese import writers
from consumer.core.text.hypothesis import Hypothesis
from evaluation.samples import SAMPLES

TEXT = Hypothesis("隨著 發現,好", "zh", None, (), -0.1, 0.0, 1.0)


def test_texts_are_counted_as_written_by_whisper_and_as_published():
    assert {name: write(TEXT) for name, write in writers().items()} == {
        "as it is": "隨著 發現,好",
        "written": "随着发现，好",
    }


@pytest.mark.usefixtures("tiny_en_weights")
def test_a_model_without_chinese_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]):
    assert bench(["chinese", "--model", "tiny.en", "--data", str(SAMPLES)]) == 2
    shown = capsys.readouterr().err
    assert "multilingual" in shown
    assert shown.count("\n") == 1
