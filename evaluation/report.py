"""The form of everything that is measured: figures, checks, tables, and their JSON."""

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
    """A promise, kept when `value` is on the right side of `limit`."""

    name: str
    value: float
    limit: float
    sense: Sense = Sense.AT_MOST
    required: bool = True  # else it depends on the machine: it is told and fails nothing

    @property
    def ok(self) -> bool:
        if self.sense is Sense.AT_MOST:
            return self.value <= self.limit
        return self.value >= self.limit

    def __str__(self) -> str:
        mark = "ok  " if self.ok else "FAIL" if self.required else "slow"
        return f"  {mark}  {self.name}: {self.value:.3g} ({self.sense} {self.limit:.3g})"


def as_json(figures: Mapping[str, Any], checks: Iterable[Check]) -> dict[str, Any]:
    """The form of all published figures."""
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
    """Print the checks and where it was measured; write all of it to `file` if there is one."""
    checked = list(checks)
    told = ", ".join(f"{name} {value}" for name, value in measured_on.items() if value is not None)
    for line in (*map(str, checked), f"on: {told}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if file is not None:
        content = {"machine": dict(measured_on), **as_json(figures, checked)}
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def table(title: str, *headings: str) -> Table:
    """An empty table: the first column names the row, the others hold figures."""
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if number else "left", overflow="fold")
    return shown
