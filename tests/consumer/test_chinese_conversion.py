from __future__ import annotations

import pytest

from consumer.chinese_conversion import converters
from consumer.core.text.chinese import Script

HANS = "随着头发的发现，里面有著名的皇后和后两者，台湾为什么"
HANT = "隨著頭髮的發現，裡面有著名的皇后和後兩者，臺灣為什麼"
MIXED = "随着頭髮的發現，里面有著名的皇后和后两者，台湾为什麼"


@pytest.mark.parametrize("text", [HANS, HANT, MIXED])
@pytest.mark.parametrize(("script", "written"), [(Script.HANS, HANS), (Script.HANT, HANT)])
def test_any_text_comes_out_in_one_script(text: str, script: Script, written: str):
    assert converters()[script](text) == written


@pytest.mark.parametrize("script", Script)
def test_a_text_keeps_its_length(script: Script):
    assert len(converters()[script](MIXED)) == len(MIXED)
