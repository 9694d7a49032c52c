"""All that a run found, ready to be shown: figures, checks, tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from rich.table import Table

from bench.live import measures
from bench.live.capacity import Search
from bench.live.contestants import OURS
from bench.live.heard import Played
from bench.live.measures import Heard
from bench.live.programme import Long
from bench.live.trace import trace
from evaluation.report import Check, Figures, table

Acts: TypeAlias = Mapping[str, Sequence[Played]]  # talk: one a round; the others: one
Value: TypeAlias = float | int | str | None

TIMING: Final = {
    "latencies": "clips",
    "latency_p50_s": "p50 s",
    "latency_p95_s": "p95 s",
    "latency_p99_s": "p99 s",
    "clips_missed": "missed",
    "clips_overdue": "overdue",
    "cpu_s_per_stream_s": "CPU",
}
PARTIALS: Final = {
    "onset_p50_s": "onset",
    "first_text_p50_s": "first text",
    "stable_delay_p50_s": "stable",
    "stable_taken_back_share": "taken back",
    "stable_before_final_share": "before final",
    "stable_changed_share": "changed",
}
OVERLOAD: Final = {
    "streams": "streams",
    "streams_behind": "then",
    "clips": "clips",
    "clips_without_final": "lost",
    "most_lag_s": "lag s",
    "back_s": "back s",
    "least_resident_mb": "least MB",
    "most_resident_mb": "most MB",
}
SLOWEST: Final = 5  # finals that are shown one by one
TRACE: Final = ("heard", "known", "queue", "decode", "publish")


@dataclass(slots=True)
class Findings:
    figures: Figures = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def add(self, name: str, figures: Figures) -> None:
        self.figures |= {f"{name}.{key}": value for key, value in figures.items()}

    def part(self, name: str) -> Figures:
        """Figures of that beginning, without it."""
        begin = f"{name}."
        return {k.removeprefix(begin): v for k, v in self.figures.items() if k.startswith(begin)}


def of_acts(
    played: Mapping[str, Acts],
    recordings: Sequence[Long],
    whole: Mapping[str, str],
    warm_up_s: float,
) -> Findings:
    """By contestant; checks are of ours alone."""
    found = Findings()
    for name, acts in played.items():
        checks = [*_act_findings(found, name, acts, recordings, whole, warm_up_s)]
        found.checks += checks if name == OURS else []
    found.tables += _tables(found, [*played])
    return found


def _act_findings(
    found: Findings,
    name: str,
    acts: Acts,
    recordings: Sequence[Long],
    whole: Mapping[str, str],
    warm_up_s: float,
) -> Iterator[Check]:
    if "talk" in acts:
        yield from _talk(found, name, Heard(name, acts["talk"], warm_up_s), whole)
    if "long" in acts:
        yield from _long(found, name, Heard(name, acts["long"]), recordings, whole)
    if "silent" in acts:
        found.add(f"{name}.silent", measures.invented_figures(Heard(name, acts["silent"])))
    if "overload" in acts:
        overload = measures.overload_figures(Heard(name, acts["overload"]))
        found.add(f"{name}.overload", overload)
        yield from measures.overload_checks(overload)


def _talk(found: Findings, name: str, heard: Heard, whole: Mapping[str, str]) -> Iterator[Check]:
    partials = measures.partial_figures(heard)
    found.add(f"{name}.talk", measures.timing_figures(heard))
    found.add(f"{name}.talk", measures.text_figures(measures.told_clips(heard, whole)))
    if partials["partials"]:
        found.add(f"{name}.talk", partials)
    if name == OURS:
        found.tables.append(_slowest(heard))
    yield from measures.timing_checks(heard)
    yield from measures.partial_checks(partials)


def _long(
    found: Findings,
    name: str,
    heard: Heard,
    recordings: Sequence[Long],
    whole: Mapping[str, str],
) -> Iterator[Check]:
    texts = measures.text_figures(measures.told_long(heard, recordings, whole))
    damage = measures.damages(heard, recordings, whole)
    found.add(f"{name}.long", texts | measures.damage_figures(damage))
    found.add(f"{name}.long", measures.timing_figures(heard))
    yield from measures.text_checks(texts)
    yield from measures.damage_checks(damage)


def of_capacity(searches: Mapping[str, Search], limit_s: float) -> Findings:
    found = Findings()
    best = {name: search.best for name, search in searches.items()}
    for name, search in searches.items():
        tried = " ".join(f"{n}{'' if kept else '!'}" for n, kept in sorted(search.tried.items()))
        found.add(name, {"most_streams": search.best, "tried": tried})
    found.checks += measures.capacity_checks(best, OURS)
    shown = table(f"most streams with p95 <= {limit_s:g} s", "", "streams", "tried (!: too slow)")
    for name, search in searches.items():
        shown.add_row(name, str(search.best), str(found.figures[f"{name}.tried"]))
    found.tables.append(shown)
    return found


def _tables(found: Findings, names: Sequence[str]) -> Iterator[Table]:
    for act in ("talk", "long"):
        if rows := {n: part for n in names if "latencies" in (part := found.part(f"{n}.{act}"))}:
            title = f"{act}: end of speech to final; CPU seconds a second of a stream"
            yield _table(title, TIMING, rows)
    yield from _text_tables(found, names)
    if rows := {n: part for n in names if "partials" in (part := found.part(f"{n}.talk"))}:
        yield _table("partials, p50 s; shares of stable words", PARTIALS, rows)
    if "trace.known_p50_s" in (ours := found.part(f"{OURS}.talk")):
        yield _trace_table(ours)
    if rows := {n: part for n in names if (part := found.part(f"{n}.silent"))}:
        headings = {"hours": "hours", "invented_finals": "finals with text"}
        yield _table("where nothing is said", headings, rows)
    if rows := {n: part for n in names if (part := found.part(f"{n}.overload"))}:
        yield _table("overload", OVERLOAD, rows)


def _text_tables(found: Findings, names: Iterable[str]) -> Iterator[Table]:
    shown = table("error rates, %, and points above the decode of whole clips", "", "live", "whole")
    for heading in ("difference", "live against whole"):
        shown.add_column(heading, justify="right")
    for name in names:
        for act in ("talk", "long"):
            for row in _text_rows(found.part(f"{name}.{act}")):
                shown.add_row(f"{name} {act} {row[0]}", *row[1:])
    if shown.row_count:
        yield shown


def _text_rows(part: Figures) -> Iterator[tuple[str, ...]]:
    for key in [key for key in part if key.endswith(".worse_points")]:
        language = key.partition(".")[0]
        rate = next(k for k in part if k.startswith(f"{language}.whole_")).removeprefix(
            f"{language}.whole_"
        )
        kind = rate.removesuffix("_percent")
        low, high = (part[f"{language}.worse_{side}_points"] for side in ("low", "high"))
        yield (
            f"{language} {kind.upper()}",
            _shown(part[f"{language}.{rate}"]),
            _shown(part[f"{language}.whole_{rate}"]),
            f"{_shown(part[key])} [{_shown(low)}, {_shown(high)}]",
            _shown(part[f"{language}.{kind}_against_whole_percent"]),
        )


def _table(title: str, headings: Mapping[str, str], rows: Mapping[str, Figures]) -> Table:
    shown = table(title, "", *headings.values())
    for name, part in rows.items():
        shown.add_row(name, *(_shown(part.get(key)) for key in headings))
    return shown


def _slowest(heard: Heard) -> Table:
    """The finals that took longest, and where their time went."""
    timed = [(a.latency_s, p, a) for p, a in heard.answers if a.latency_s is not None]
    shown = table("the slowest, s", "clip", "latency", *TRACE)
    for latency_s, played, answer in sorted(timed, key=lambda each: -each[0])[:SLOWEST]:
        if (parts := trace(answer, played.axis)) is not None:
            told = (_shown(getattr(parts, name)) for name in TRACE)
            shown.add_row(answer.placed.clip.name, _shown(latency_s), *told)
    return shown


def _trace_table(part: Figures) -> Table:
    early = float(part["trace.decoded_early_share"] or 0)
    shown = table(f"where the time goes, s; {early:.0%} were decoded before their end", "", *TRACE)
    for share in ("p50", "p95"):
        shown.add_row(share, *(_shown(part[f"trace.{name}_{share}_s"]) for name in TRACE))
    return shown


def _shown(value: Value) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int | str) else f"{value:.3g}"
