"""Languages: BCP 47 tags on the wire, Whisper's own codes inside.

A tag may be more specific than Whisper's code: `zh-Hans` and `zh-Hant` are both `zh` to the model,
and the script subtag selects the conversion of its text.
"""

from __future__ import annotations

import re
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
_AS_AUTO: Final = frozenset((AUTO, "detect", "mul", "multi", "und", "*"))
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
# Countries that are taken for languages, where no language has the subtag.
_OF_COUNTRY: Final = {
    "cn": "zh",
    "cz": "cs",
    "dk": "da",
    "gr": "el",
    "jp": "ja",
    "kr": "ko",
    "ua": "uk",
    "us": "en",
    "vn": "vi",
}
_SCRIPTS: Final = {"zh-chs": "zh-Hans", "zh-cht": "zh-Hant"}  # of older systems
_OWN_NAMES: Final = {  # of languages, in themselves
    "中文": "zh",
    "汉语": "zh",
    "漢語": "zh",
    "普通话": "zh",
    "國語": "zh",
    "国语": "zh",
    "粤语": "yue",
    "粵語": "yue",
    "英文": "en",
    "英语": "en",
    "日本語": "ja",
    "한국어": "ko",
    "deutsch": "de",
    "español": "es",
    "français": "fr",
    "italiano": "it",
    "português": "pt",
    "русский": "ru",
}
_SEPARATOR: Final = re.compile(r"[,;|]")
_WEIGHT: Final = re.compile(r";\s*q=[\d.]*", re.IGNORECASE)  # of Accept-Language, RFC 9110
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
    """Return the tags of a list, and the parts that are no language.

    The list has commas, semicolons or bars, or the form of Accept-Language. Both are empty for
    `auto`, or another word for any language.
    """
    if text.strip().lower() in _AS_AUTO:
        return (), ()
    tags, unknown = dict[str, None](), []
    for part in _SEPARATOR.split(_WEIGHT.sub("", text)):
        try:
            tags[language_tag(part)] = None
        except WireError:
            unknown.append(part)
    return tuple(tags), tuple(unknown)


def language_tag(text: str) -> str:
    """Return the BCP 47 tag that a publisher means.

    `text`: a tag in any case (`zh-hans`), a locale (`en_US.UTF-8`), an ISO 639 code of three
    letters (`deu`), a name of the language in English or in itself (`English`, `中文`), or a
    country's code where it states the language (`jp`). Raises WireError (unknown_language).
    """
    name = " ".join(text.split()).lower()
    if (code := _NAMES.get(name) or _OWN_NAMES.get(name)) is not None:
        return bcp47(code)
    locale = re.split("[.@]", name)[0].replace("_", "-")
    language, *rest = locale.split("-")
    written = _SCRIPTS.get(locale) or "-".join((_OF_COUNTRY.get(language, language), *rest))
    with suppress(LanguageTagError):
        tag: str = langcodes.standardize_tag(written)
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
