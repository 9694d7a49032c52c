"""Convert between Simplified and Traditional Chinese by OpenCC's dictionaries."""

from __future__ import annotations

from collections.abc import Mapping

from opencc import OpenCC

from consumer.core.text.chinese import Convert, Script

# Traditional as in Taiwan, because Whisper writes that: "t2s" would convert only half of its 隨著.
_CONFIGURATIONS: Mapping[Script, str] = {Script.HANS: "tw2s", Script.HANT: "s2tw"}


def converters() -> dict[Script, Convert]:
    """Return the conversion to each script; text already in that script is not changed."""
    return {script: OpenCC(name).convert for script, name in _CONFIGURATIONS.items()}
