from __future__ import annotations

import pytest

from bench.chinese import main as chinese
from bench.chinese import writers
from consumer.core.text.hypothesis import Hypothesis
from consumer.errors import ConfigError
from evaluation.samples import SAMPLES

HEARD = Hypothesis("隨著 發現,好", "zh", None, (), -0.1, 0.0, 1.0)


def test_texts_stand_as_they_are_and_as_they_are_published():
    assert {name: write(HEARD) for name, write in writers().items()} == {
        "as it is": "隨著 發現,好",
        "written": "随着发现，好",
    }


@pytest.mark.usefixtures("tiny_en_weights")
def test_a_model_without_chinese_is_told_in_one_line():
    with pytest.raises(ConfigError, match="multilingual"):
        chinese(["--model", "tiny.en", "--data", str(SAMPLES)])
