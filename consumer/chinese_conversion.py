"""Between Simplified and Traditional Chinese, by OpenCC's dictionaries of words and characters."""

from __future__ import annotations

from collections.abc import Mapping

from opencc import OpenCC

from consumer.core.text.chinese import Convert, Script

# Traditional as Taiwan writes it, because Whisper does: "t2s" would leave its 隨著 half converted.
_CONFIGURATIONS: Mapping[Script, str] = {Script.HANS: "tw2s", Script.HANT: "s2tw"}


def converters() -> dict[Script, Convert]:
    """What writes any Chinese text in a script; text that is in it already stays as it is."""
    return {script: OpenCC(name).convert for script, name in _CONFIGURATIONS.items()}
