"""Languages: BCP 47 tags on the wire, Whisper's own codes inside.

A tag may be more specific than Whisper's code: `zh-Hans` and `zh-Hant` are both `zh` to the model,
and the script subtag selects the conversion of its text.
"""

from __future__ import annotations

import re
from typing import Final

from schemas.errors import Reason, WireError

# openai-whisper's tokenizer.LANGUAGES; a test compares the two. `yue` came with large-v3.
_CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th "
    "ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr "
    "pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt "
    "haw ln ha ba jw su yue"
)
WHISPER_CODES: Final = frozenset(_CODES.split())
# Subtags whose Whisper code differs: other names, deprecated names, members of macrolanguages.
_WHISPER_OF: Final = {
    "cmn": "zh",
    "fil": "tl",
    "in": "id",
    "iw": "he",
    "ji": "yi",
    "jv": "jw",
    "nb": "no",
    "zh-cmn": "zh",
    "zh-yue": "yue",
}
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,8}")


def whisper_code(tag: str) -> str:
    """Return Whisper's code for a BCP 47 tag: `zh` for `zh-Hans-CN`.

    Raises WireError (unknown_language).
    """
    if _TAG.fullmatch(tag):
        language, _, rest = tag.lower().partition("-")
        extended = f"{language}-{rest.partition('-')[0]}"
        code = _WHISPER_OF.get(extended) or _WHISPER_OF.get(language, language)
        if code in WHISPER_CODES:
            return code
    raise WireError(
        Reason.UNKNOWN_LANGUAGE,
        f"Whisper has no language {tag!r}: send a BCP 47 tag such as zh-Hans, or auto",
    )


def bcp47(code: str) -> str:
    """Return the BCP 47 tag of one of Whisper's codes; only Javanese has a different one."""
    return "jv" if code == "jw" else code
