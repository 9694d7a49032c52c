"""Languages: BCP 47 tags on the wire, Whisper's own codes inside.

A tag may be more specific than Whisper's code: `zh-Hans` and `zh-Hant` are both `zh` to the model,
and the script subtag selects the conversion of its text.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import langcodes
from langcodes.tag_parser import LanguageTagError

from schemas.errors import Reason, WireError

# openai-whisper's tokenizer.LANGUAGES; a test compares the two. `yue` came with large-v3.
_CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th "
    "ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr "
    "pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt "
    "haw ln ha ba jw su yue"
)
AUTO: Final = "auto"  # any language of the model
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
# openai-whisper's tokenizer.LANGUAGES and its aliases; a test compares them.
_NAMES: Final = {
    name: code
    for code, names in (
        line.split(maxsplit=1)
        for line in """\
en english
zh chinese, mandarin
de german
es spanish, castilian
ru russian
ko korean
fr french
ja japanese
pt portuguese
tr turkish
pl polish
ca catalan, valencian
nl dutch, flemish
ar arabic
sv swedish
it italian
id indonesian
hi hindi
fi finnish
vi vietnamese
he hebrew
uk ukrainian
el greek
ms malay
cs czech
ro romanian, moldavian, moldovan
da danish
hu hungarian
ta tamil
no norwegian
th thai
ur urdu
hr croatian
bg bulgarian
lt lithuanian
la latin
mi maori
ml malayalam
cy welsh
sk slovak
te telugu
fa persian
lv latvian
bn bengali
sr serbian
az azerbaijani
sl slovenian
kn kannada
et estonian
mk macedonian
br breton
eu basque
is icelandic
hy armenian
ne nepali
mn mongolian
bs bosnian
kk kazakh
sq albanian
sw swahili
gl galician
mr marathi
pa punjabi, panjabi
si sinhala, sinhalese
km khmer
sn shona
yo yoruba
so somali
af afrikaans
oc occitan
ka georgian
be belarusian
tg tajik
sd sindhi
gu gujarati
am amharic
yi yiddish
lo lao
uz uzbek
fo faroese
ht haitian creole, haitian
ps pashto, pushto
tk turkmen
nn nynorsk
mt maltese
sa sanskrit
lb luxembourgish, letzeburgesch
my myanmar, burmese
bo tibetan
tl tagalog
mg malagasy
as assamese
tt tatar
haw hawaiian
ln lingala
ha hausa
ba bashkir
jw javanese
su sundanese
yue cantonese""".splitlines()
    )
    for name in names.split(", ")
}


def language_tags(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tags of a list with commas, and the parts that are no language.

    Both are empty for `auto`.
    """
    if text.strip().lower() == AUTO:
        return (), ()
    tags, unknown = dict[str, None](), []
    for part in text.split(","):
        try:
            tags[language_tag(part)] = None
        except WireError:
            unknown.append(part)
    return tuple(tags), tuple(unknown)


def language_tag(text: str) -> str:
    """Return the BCP 47 tag that a publisher means.

    `text`: a tag in any case (`zh-hans`), a locale (`en_US.UTF-8`), an ISO 639 code of three
    letters (`deu`), or one of Whisper's names of languages (`English`). Raises WireError
    (unknown_language).
    """
    name = " ".join(text.split()).lower()
    if name in _NAMES:
        return bcp47(_NAMES[name])
    with suppress(LanguageTagError):
        tag: str = langcodes.standardize_tag(name.partition(".")[0])
        whisper_code(tag)
        return tag
    raise unknown_language(text)


def whisper_code(tag: str) -> str:
    """Return Whisper's code for a BCP 47 tag: `zh` for `zh-Hans-CN`.

    Raises WireError (unknown_language).
    """
    language, _, rest = tag.lower().partition("-")
    extended = f"{language}-{rest.partition('-')[0]}"
    code = _WHISPER_OF.get(extended) or _WHISPER_OF.get(language, language)
    if code in WHISPER_CODES:
        return code
    raise unknown_language(tag)


def unknown_language(text: str) -> WireError:
    """Return the error for a text that is no language of Whisper."""
    return WireError(
        Reason.UNKNOWN_LANGUAGE,
        f"Whisper has no language {text!r}: send a BCP 47 tag such as zh-Hans, or auto",
    )


def bcp47(code: str) -> str:
    """Return the BCP 47 tag of one of Whisper's codes; only Javanese has a different one."""
    return "jv" if code == "jw" else code
