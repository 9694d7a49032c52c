"""The headers of audio records by name, as publishers write them.

Names are matched in any case of ASCII letters, a null value counts as an absent header, and quotes
around a whole value, as JSON mappers of Java write them, are removed. A contradiction costs the
record only where it decides what its samples are or where they go.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from schemas.errors import Reason, WireError
from schemas.headers import Headers
from schemas.options import OPTION_HEADERS

# What the samples are, and their order: two values of one of them are a contradiction.
DECISIVE_HEADERS: Final = frozenset(
    ("codec", "rate", "channels", "seq", "start", "run", "end", "flush")
)
AUDIO_HEADERS: Final = DECISIVE_HEADERS | {"captured_ms", "traceparent"}
READ_HEADERS: Final = AUDIO_HEADERS | OPTION_HEADERS
# Headers of other systems, which are not read, and the one to send instead.
OTHER_NAMES: Final = {
    **dict.fromkeys(("content-type", "contenttype", "encoding", "audio_encoding"), "codec"),
    **dict.fromkeys(("sample_rate", "samplerate", "sample-rate", "sample_rate_hertz"), "rate"),
    **dict.fromkeys(("sampleratehertz", "sampling_rate"), "rate"),
    **dict.fromkeys(("channel_count", "num_channels", "nchannels"), "channels"),
    **dict.fromkeys(("sequence", "sequence_number", "sequencenumber", "seqno"), "seq"),
    **dict.fromkeys(("lang", "language_code", "language-code", "languagecode"), "language"),
    "initial_prompt": "prompt",
    "interim_results": "partials",
}
_OF_ANY_CONTENT: Final = ("content-type", "contenttype")  # of audio only as `audio/...`
_VERBATIM: Final = frozenset(("prompt", "hotwords"))  # texts, in which quotes are the publisher's
_QUOTE: Final = b'"'


def select(
    headers: Headers, names: AbstractSet[str] = READ_HEADERS
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the headers of these names, and one line for each that is not read as it was meant.

    Of several values of one header the first applies. Raises WireError if they differ and the
    header is a decisive one.
    """
    if (plain := _plain(headers, names)) is not None:
        return plain, ()
    known: dict[str, bytes] = {}
    problems: list[str] = []
    others: list[tuple[str, bytes]] = []
    for written, value in headers:
        if value is None:
            continue
        name = written
        if written not in names:
            name = written.lower()
            # Letters beyond ASCII may have a lower case in it: the Kelvin sign is no k.
            if name not in names or not written.isascii():
                if name in OTHER_NAMES:
                    others.append((name, value))
                continue
        stated = unquoted(value) if value[:1] == _QUOTE and name not in _VERBATIM else value
        if known.setdefault(name, stated) == stated:
            continue
        if name in DECISIVE_HEADERS:
            raise WireError(Reason.DUPLICATE_HEADER, f"header {name} has two values: send it once")
        problems.append(f"{name}: sent with two values; the first one applies")
    problems += [_unread(name) for name, value in others if _is_missed(name, value, known)]
    return known, tuple(dict.fromkeys(problems)) if problems else ()


def _plain(headers: Headers, names: AbstractSet[str]) -> dict[str, bytes] | None:
    """Return the headers where each is of these names as written, occurs once and has no quotes.

    So are those of most records, which need no examination of their own.
    """
    stated = dict(headers)
    if len(stated) != len(headers) or not stated.keys() <= names:
        return None
    plain: dict[str, bytes] = {}
    for name, value in stated.items():
        if value is None or value[:1] == _QUOTE:
            return None
        plain[name] = value
    return plain


def unquoted(value: bytes) -> bytes:
    """Return a value without the quotes around it, if there are both."""
    return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == _QUOTE else value


def is_option(problem: str) -> bool:
    """Return whether a line of `select` or `decode_options` is on an option of the stream."""
    name = problem.partition(":")[0]
    return OTHER_NAMES.get(name, name) in OPTION_HEADERS


def _is_missed(name: str, value: bytes, known: Mapping[str, bytes]) -> bool:
    """Return whether a header of another system states what the record does not."""
    is_audio = unquoted(value).lower().startswith(b"audio/")
    return OTHER_NAMES[name] not in known and (is_audio or name not in _OF_ANY_CONTENT)


def _unread(name: str) -> str:
    return f"{name}: this header is not read; send {OTHER_NAMES[name]} instead"
