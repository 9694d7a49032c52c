"""What a part of the bench has measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.report import Check, Figures


@dataclass(frozen=True, slots=True)
class PartFindings:
    figures: Figures
    checks: Sequence[Check]
