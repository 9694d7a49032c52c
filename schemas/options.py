"""Stream options as headers of a stream's first record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.audio import (
    MAX_ENDPOINT_MS,
    MAX_LANGUAGES,
    MAX_PROMPT_CHARACTERS,
    MIN_ENDPOINT_MS,
    StreamOptions,
    Task,
)
from schemas.headers import shown, switch
from schemas.languages import AUTO, language_tags

NO_OPTIONS: Final = StreamOptions()


class _InvalidOptionError(Exception):
    """An option has an invalid value. `valid`: the part of a list that applies."""

    def __init__(self, message: str, valid: tuple[str, ...] = ()) -> None:
        self.valid = valid
        super().__init__(message)


def encode_options(options: StreamOptions) -> list[tuple[str, bytes]]:
    """Return a header for each option that is set."""
    texts = {
        "language": None if options.languages is None else ",".join(options.languages) or AUTO,
        "prompt": options.prompt,
        "hotwords": options.hotwords,
        "task": options.task,
        "words": None if options.words is None else f"{options.words:d}",
        "partials": None if options.partials is None else f"{options.partials:d}",
        "endpoint_ms": None if options.endpoint_ms is None else f"{options.endpoint_ms}",
    }
    return [(name, text.encode()) for name, text in texts.items() if text is not None]


def decode_options(known: Mapping[str, bytes]) -> tuple[StreamOptions, tuple[str, ...]]:
    """Return the options that are set, and one line for each invalid one: its default applies.

    Of several languages those that are understood apply.
    """
    if known.keys().isdisjoint(OPTION_HEADERS):
        return NO_OPTIONS, ()
    options: dict[str, Any] = {}
    problems = []
    for name, (field, parse) in _PARSERS.items():
        if (value := known.get(name)) is None:
            continue
        try:
            options[field] = parse(value)
        except _InvalidOptionError as error:
            if error.valid:
                options[field] = error.valid
            problems.append(f"{name}: {error}; {', '.join(error.valid) or 'the default'} applies")
    return StreamOptions(**options), tuple(problems)


def _languages(value: bytes) -> tuple[str, ...]:
    text = _text(value)
    if (count := text.count(",") + 1) > MAX_LANGUAGES:
        raise _InvalidOptionError(f"{count} tags, at most {MAX_LANGUAGES} are allowed")
    tags, unknown = language_tags(text)
    if unknown:
        names = ", ".join(shown(each.encode()) for each in unknown)
        raise _InvalidOptionError(f"{names}: send a BCP 47 tag such as zh-Hans, or auto", tags)
    return tags


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise _InvalidOptionError("not UTF-8") from None
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise _InvalidOptionError(
            f"{len(text)} characters, at most {MAX_PROMPT_CHARACTERS} are allowed"
        )
    return text


def _task(value: bytes) -> Task:
    try:
        return Task(value.decode())
    except ValueError:
        raise _InvalidOptionError(f"{shown(value)} is none of {', '.join(Task)}") from None


def _switch(value: bytes) -> bool:
    if (meant := switch(value)) is None:
        raise _InvalidOptionError(f"{shown(value)} is neither 1 nor 0")
    return meant


def _endpoint_ms(value: bytes) -> int:
    if value.isdigit() and len(value) <= len(str(MAX_ENDPOINT_MS)):
        endpoint_ms = int(value)
        if MIN_ENDPOINT_MS <= endpoint_ms <= MAX_ENDPOINT_MS:
            return endpoint_ms
    raise _InvalidOptionError(
        f"{shown(value)} is no number from {MIN_ENDPOINT_MS} to {MAX_ENDPOINT_MS}"
    )


# Header: its field of StreamOptions, and the parser of its value.
_PARSERS: Final[dict[str, tuple[str, Callable[[bytes], object]]]] = {
    "language": ("languages", _languages),
    "prompt": ("prompt", _text),
    "hotwords": ("hotwords", _text),
    "task": ("task", _task),
    "words": ("words", _switch),
    "partials": ("partials", _switch),
    "endpoint_ms": ("endpoint_ms", _endpoint_ms),
}
OPTION_HEADERS: Final = frozenset(_PARSERS)
