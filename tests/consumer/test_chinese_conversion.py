from __future__ import annotations

import pytest

from consumer.chinese_conversion import converters
from consumer.core.text.chinese import Script

HANS = "随着头发的发现，里面有著名的皇后和后两者，台湾为什么"
HANT = "隨著頭髮的發現，裡面有著名的皇后和後兩者，臺灣為什麼"
MIXED = "随着頭髮的發現，里面有著名的皇后和后两者，台湾为什麼"


@pytest.mark.parametrize("text", [HANS, HANT, MIXED])
@pytest.mark.parametrize(("script", "expected"), [(Script.HANS, HANS), (Script.HANT, HANT)])
def test_any_text_is_converted_to_one_script(text: str, script: Script, expected: str):
    assert converters()[script](text) == expected


@pytest.mark.parametrize("script", Script)
def test_conversion_keeps_the_length_of_a_text(script: Script):
    assert len(converters()[script](MIXED)) == len(MIXED)
