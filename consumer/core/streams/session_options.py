"""The options of a session: those its first record states, as far as the model supports them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace

from schemas.audio import StreamOptions
from schemas.languages import whisper_code


def servable(asked: StreamOptions, known: Collection[str]) -> tuple[StreamOptions, tuple[str, ...]]:
    """Return the options that the model supports, and one line on those that it does not.

    `known`: the model's languages as Whisper codes.
    """
    languages = asked.languages or ()
    unknown = [tag for tag in languages if whisper_code(tag) not in known]
    if not unknown:
        return asked, ()
    left = tuple(tag for tag in languages if tag not in unknown)
    applied = f"{', '.join(left)} applies" if left else "the default applies"
    problem = f"language: this worker's model does not know {', '.join(unknown)}; {applied}"
    return replace(asked, languages=left or None), (problem,)


def complete(asked: StreamOptions, defaults: StreamOptions) -> StreamOptions:
    """Return the options with defaults in place of those that are None."""
    given = {f.name: value for f in fields(asked) if (value := getattr(asked, f.name)) is not None}
    return replace(defaults, **given)
