"""Settings from text: dataclasses whose fields are knobs, read from STREAMSCRIBE_<NAME>."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from dataclasses import field, fields
from enum import StrEnum
from typing import Any, Final

PREFIX: Final = "STREAMSCRIBE_"
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def setting(default: Any, help: str) -> Any:  # noqa: A002 - argparse's own word
    """A field, and what its help says of it."""
    return field(default=default, metadata={"help": help})


def variable(name: str) -> str:
    """The environment's name for a field."""
    return PREFIX + name.upper()


def read(
    kind: type[Any], environ: Mapping[str, str], given: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Values of the dataclass's fields that are set, `given` ones first; and what cannot be read.

    Names of no field are left alone: other commands read some of their own.
    """
    set_ = {f.name: environ[name] for f in fields(kind) if (name := variable(f.name)) in environ}
    types = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    problems = []
    for name, text in (set_ | dict(given)).items():
        try:
            values[name] = _parse(types[name], text.strip())
        except ValueError as error:
            problems.append(f"{variable(name)}={text!r}: {error}")
    return values, problems


def _parse(kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError("must be true or false")
        return text.lower() in _TRUE
    if issubclass(kind, StrEnum):
        if text not in set(kind):
            raise ValueError(f"is none of {', '.join(kind)}")
        return kind(text)
    if kind is int:
        return _number(int, text, "must be a whole number")
    if kind is float:
        return _number(float, text, "must be a number")
    return text


def _number(kind: type[int | float], text: str, told: str) -> float:
    try:
        number = kind(text)
    except ValueError:
        raise ValueError(told) from None
    if not math.isfinite(number):
        raise ValueError(told)
    return number
