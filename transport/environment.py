"""Settings: dataclasses whose fields are read from the variables STREAMSCRIBE_<NAME>."""

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
    """Return a dataclass field with a default and a help text."""
    return field(default=default, metadata={"help": help})


def variable(name: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + name.upper()


def read(
    kind: type[Any], environ: Mapping[str, str], given: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of the fields that are set, and a line for each that is invalid.

    `given` overrides the environment. Variables without a field are ignored: other commands have
    some of their own.
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
            raise ValueError(f"must be one of {', '.join(kind)}")
        return kind(text)
    if kind is int:
        return _number(int, text, "must be a whole number")
    if kind is float:
        return _number(float, text, "must be a number")
    return text


def _number(kind: type[int | float], text: str, problem: str) -> float:
    try:
        number = kind(text)
    except ValueError:
        raise ValueError(problem) from None
    if not math.isfinite(number):
        raise ValueError(problem)
    return number
