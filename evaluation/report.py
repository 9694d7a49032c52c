"""The common form of measurements: figures, checks, tables, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table

Figures: TypeAlias = dict[str, float | int | str | None]

_MAX_WIDTH: Final = 40  # of headings, for a table with one row a prefix


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
    shown = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    return shown


def figure_tables(figures: Figures) -> Iterator[Table]:
    """Yield the figures as tables: prefixes with figures of the same names share one.

    The prefix of a figure ends at its last `: `, or else at its last dot.
    """
    groups: dict[str, Figures] = {}
    for name, value in figures.items():
        prefix, _, short = name.rpartition(": " if ": " in name else ".")
        groups.setdefault(prefix, {})[short] = value
    alike: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    for prefix, found in groups.items():
        cells = _cells(found)
        alike.setdefault(tuple(cells), {})[prefix] = cells
    for rows in alike.values():
        yield _figures_table(rows)


def _cells(figures: Figures) -> dict[str, str]:
    """Return the figures as they are shown: with the extremes of those that have some."""
    cells = {}
    for name, value in figures.items():
        base = name.removesuffix("_low").removesuffix("_high")
        low, high = (cell(figures.get(f"{name}{end}")) for end in ("_low", "_high"))
        if base == name or base not in figures:
            cells[name] = cell(value) if low == high == "-" else f"{cell(value)} ({low}-{high})"
    return cells


def _figures_table(rows: Mapping[str, Mapping[str, str]]) -> Table:
    """Return one row a prefix, or one a name where that is narrower."""
    prefixes, names = [*rows], [*next(iter(rows.values()))]
    if sum(map(len, names)) <= max(_MAX_WIDTH, sum(map(len, prefixes))):
        return table("", "", *names, rows=((one, *cells.values()) for one, cells in rows.items()))
    return table(
        "", "", *prefixes, rows=((name, *(rows[one][name] for one in prefixes)) for name in names)
    )


def cell(value: float | str | None) -> str:
    """Return a figure as it is shown in a table: three digits at least, `-` for none."""
    if value is None:
        return "-"
    if isinstance(value, int | str):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
