"""Stretches of samples, [start, end): merged, subtracted, and where they overlap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the union, in order, adjacent spans as one."""
    joined: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def without(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """Return the parts of the spans that lie in no hole."""
    left = merged(spans)
    for low, high in merged(holes):
        parts = (
            part
            for start, end in left
            for part in ((start, min(end, low)), (max(start, high), end))
        )
        left = merged(parts)
    return left


def overlaps(spans: Iterable[Span]) -> list[Span]:
    """Return what lies in more than one of the spans."""
    twice: list[Span] = []
    reached = 0
    for start, end in sorted(spans):
        if start < reached:
            twice.append((start, min(end, reached)))
        reached = max(reached, end)
    return merged(twice)
