"""The common form of measurements: figures, checks, tables, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table

Figures: TypeAlias = dict[str, float | int | str | None]


class Sense(StrEnum):
    AT_MOST = "at most"
    AT_LEAST = "at least"


@dataclass(frozen=True, slots=True)
class Check:
    """A measured value and its limit."""

    name: str
    value: float
    limit: float
    sense: Sense = Sense.AT_MOST
    required: bool = True  # False: it depends on the machine, so it is shown but fails nothing

    @property
    def ok(self) -> bool:
        if self.sense is Sense.AT_MOST:
            return self.value <= self.limit
        return self.value >= self.limit

    def __str__(self) -> str:
        mark = "ok  " if self.ok else "FAIL" if self.required else "slow"
        return f"  {mark}  {self.name}: {self.value:.3g} ({self.sense} {self.limit:.3g})"


def as_json(figures: Mapping[str, Any], checks: Iterable[Check]) -> dict[str, Any]:
    """Return figures and checks in the form of all published results."""
    return {
        "figures": dict(figures),
        "checks": [
            {"name": c.name, "value": c.value, "limit": c.limit, "ok": c.ok} for c in checks
        ],
    }


def publish(
    console: Console,
    file: Path | None,
    measured_on: Mapping[str, Any],
    figures: Figures,
    checks: Iterable[Check],
) -> None:
    """Print the checks and the machine; write them and the figures to `file` if given."""
    checked = list(checks)
    machine = ", ".join(
        f"{name} {value}" for name, value in measured_on.items() if value is not None
    )
    for line in (*map(str, checked), f"on: {machine}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if file is not None:
        content = {"machine": dict(measured_on), **as_json(figures, checked)}
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def prefixed(prefix: str, figures: Mapping[str, float | str | None]) -> Figures:
    return {f"{prefix}{name}": value for name, value in figures.items()}


def section(figures: Figures, prefix: str) -> Figures:
    """Return the figures whose names begin with `prefix`, without it."""
    names = (name for name in figures if name.startswith(prefix))
    return {name.removeprefix(prefix): figures[name] for name in names}


def table(title: str, *headings: str, rows: Iterable[Iterable[str]] = ()) -> Table:
    """Return a table whose first column names the row and whose others are figures."""
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    return shown


def figures_table(
    title: str, figures: Figures, rows: Mapping[str, str], columns: Mapping[str, str]
) -> Table:
    """Return a table of figures; `rows`: prefixes by label, `columns`: headings by name."""
    return table(
        title,
        *("", *columns.values()),
        rows=(
            (label, *(cell(figures.get(f"{prefix}{name}")) for name in columns))
            for label, prefix in rows.items()
        ),
    )


def cell(value: float | str | None) -> str:
    """Return a figure as it is shown in a table: three digits at least, `-` for none."""
    if value is None:
        return "-"
    if isinstance(value, int | str):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
