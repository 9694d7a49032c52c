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


def table(title: str, *headings: str) -> Table:
    """Return an empty table whose first column names the row and whose others are figures."""
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if number else "left", overflow="fold")
    return shown
