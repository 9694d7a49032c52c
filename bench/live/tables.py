"""Figures as tables for the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Final

from rich.table import Table

from bench.live.capacity import CapacitySearch
from bench.live.figures import section
from bench.live.latency import ClipResult, LatencyParts, latency_parts
from bench.live.stable_text import STABLE_HEADINGS
from bench.live.systems import STREAMSCRIBE
from evaluation.report import Figures, table

_TIMING: Final = {
    "latencies": "clips",
    "latency_p50_s": "p50",
    "latency_p95_s": "p95",
    "latency_p99_s": "p99",
    "clips_missed": "missed",
    "clips_overdue": "overdue",
    "cpu_s_per_stream_s": "CPU",
}
_PARTIALS: Final = {"onset_p50_s": "onset", "first_text_p50_s": "first text", **STABLE_HEADINGS}
_SILENT: Final = {"hours": "hours", "invented_finals": "finals with text"}
_OVERLOAD: Final = {
    "streams": "streams",
    "streams_after": "then",
    "clips": "clips",
    "clips_without_final": "lost",
    "most_lag_s": "most lag s",
    "back_s": "recovered s",
    "least_resident_mb": "least MB",
    "most_resident_mb": "most MB",
}
# Scenario and title, and the headings of figures; the first one is there if they were measured.
_COMPARISONS: Final[tuple[tuple[str, str, Mapping[str, str]], ...]] = (
    ("talk", "end of speech to final, s; CPU seconds per second of a stream", _TIMING),
    ("long", "end of speech to final, s; CPU seconds per second of a stream", _TIMING),
    ("talk", "partials: p50, s; shares of stable words", _PARTIALS),
    ("silent", "clips without speech", _SILENT),
    ("overload", "three times the streams for a minute", _OVERLOAD),
)
_SLOWEST: Final = 5  # finals that are shown one by one


def scenario_tables(
    figures: Figures, systems: Sequence[str], clips: Iterable[ClipResult]
) -> Iterator[Table]:
    """Yield the tables of all that was measured; `clips`: of streamscribe in `talk`."""
    for scenario, title, headings in _COMPARISONS:
        shown = table(f"{scenario}: {title}", "", *headings.values())
        for system in systems:
            found = section(figures, f"{system}.{scenario}")
            if next(iter(headings)) in found:
                shown.add_row(system, *(_cell(found.get(key)) for key in headings))
        if shown.row_count:
            yield shown
    yield from _error_rates(figures, systems)
    yield from _latency_parts(section(figures, f"{STREAMSCRIBE}.talk"), clips)


def _error_rates(figures: Figures, systems: Iterable[str]) -> Iterator[Table]:
    title = "error rates, %, live and of whole clips; points of difference, 95 % interval"
    shown = table(title, "", "live", "whole", "difference", "", "live/whole")
    for system in systems:
        for scenario in ("talk", "long"):
            for name, *cells in _error_rows(section(figures, f"{system}.{scenario}")):
                shown.add_row(f"{system} {scenario} {name}", *cells)
    if shown.row_count:
        yield shown


def _error_rows(figures: Figures) -> Iterator[tuple[str, ...]]:
    """Yield the name of each language's rate, and its cells."""
    for key in figures:
        language, _, name = key.partition(".")
        if name in {"wer_percent", "cer_percent"}:
            rate = name.removesuffix("_percent")
            found = {short: _cell(value) for short, value in section(figures, language).items()}
            yield (
                f"{language} {rate.upper()}",
                found[name],
                found[f"whole_{name}"],
                found["worse_points"],
                f"[{found['worse_low_points']}, {found['worse_high_points']}]",
                found[f"{rate}_against_whole_percent"],
            )


def _latency_parts(talk: Figures, clips: Iterable[ClipResult]) -> Iterator[Table]:
    """Yield where the time goes, in all finals and in the slowest."""
    if not (trace := section(talk, "trace")):
        return
    early = float(trace["decoded_early_share"] or 0)
    title = f"talk: where the time goes, s, and the slowest finals; {early:.0%} decoded early"
    shown = table(title, "", "latency", *LatencyParts._fields)
    for percent in ("p50", "p95"):
        parts = (trace[f"{name}_{percent}_s"] for name in LatencyParts._fields)
        shown.add_row(percent, *map(_cell, (talk[f"latency_{percent}_s"], *parts)))
    timed = [(clip.latency_s or 0.0, clip.placed.clip.name, latency_parts(clip)) for clip in clips]
    for latency_s, name, found in nlargest(_SLOWEST, timed, key=itemgetter(0)):
        shown.add_row(name, *map(_cell, (latency_s, *(found or ()))))
    yield shown


def capacity_table(searches: Mapping[str, CapacitySearch], figures: Figures) -> Table:
    shown = table("most streams within the limit", "", "streams", "tried (!: too slow)")
    for system in searches:
        shown.add_row(system, *(_cell(value) for value in section(figures, system).values()))
    return shown


def _cell(value: float | str | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int | str) else f"{value:.3g}"
