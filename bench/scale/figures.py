"""The figures of a number of streams, and their targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from bench.scale.cpu_parts import LOOP, OTHER_THREADS, PARTS, THREADS
from bench.scale.measured_load import ScaleResult
from evaluation.percentiles import percentile
from evaluation.report import Check, Figures, Sense

ENGINE: Final = "stub engine"  # part of the workers' time that is no ingest
INGEST_PARTS: Final = (
    *dict.fromkeys((*PARTS.values(), *(p for p in THREADS.values() if p != ENGINE))),
    LOOP,
    OTHER_THREADS,
)
# Targets at 1 000 streams on two cores with AVX2, shared with the broker and the publisher.
ADDED_MS, CPU_MS, MEMORY_KB = 300.0, 1.4, 64.0


def figures(result: ScaleResult) -> Figures:
    """Return the figures of one number of streams, with a common prefix."""
    stream_s = result.run.streams * result.run.seconds
    cpu: Counter[str] = Counter()
    for report in result.reports:
        cpu.update(report.cpu_s)
    costs = {f"cpu {part}_ms": _ms(cpu[part], stream_s) for part in INGEST_PARTS}
    ingest_s = sum(seconds for part, seconds in cpu.items() if part != ENGINE)
    wall_s = max(report.wall_s for report in result.reports)
    found: Figures = {
        "cpu ingest_ms": _ms(ingest_s, stream_s),
        **costs,
        f"cpu {ENGINE}_ms": _ms(cpu[ENGINE], stream_s),
        "cpu broker_ms": _ms(result.broker_cpu_s, stream_s),
        "cpu publisher and reader_ms": _ms(result.load_cpu_s, stream_s),
        "cores": _rounded((sum(cpu.values()) + result.broker_cpu_s + result.load_cpu_s) / wall_s),
        "added p50_ms": _rounded(percentile(result.added_ms, 0.5)),
        "added p95_ms": _rounded(percentile(result.added_ms, 0.95)),
        "loop lag p95_ms": _rounded(max(report.lag_p95_ms for report in result.reports)),
        "loop lag max_ms": _rounded(max(report.lag_max_ms for report in result.reports)),
        "memory_kb": _rounded(1000 * result.grown_mb / result.run.streams),
        "publisher late_ms": _rounded(result.late_ms),
        "finals": len(result.added_ms),
        "finals missing": result.expected - len(result.added_ms),
        "finals unexpected": result.unexpected,
    }
    return {f"{result.run.streams} streams: {name}": value for name, value in found.items()}


def checks(results: Sequence[ScaleResult], found: Figures) -> list[Check]:
    """Return the targets, which depend on the machine, and what must hold on every one."""
    all_checks = []
    for result in results:
        prefix = f"{result.run.streams} streams: "
        for name, limit in (
            ("added p95_ms", ADDED_MS),
            ("cpu ingest_ms", CPU_MS),
            ("memory_kb", MEMORY_KB),
        ):
            value = float(found[prefix + name] or 0)
            all_checks.append(Check(prefix + name, value, limit, required=False))
        missing, unexpected = (
            float(found[f"{prefix}finals {kind}"] or 0) for kind in ("missing", "unexpected")
        )
        all_checks.append(Check(f"{prefix}finals missing", missing, 0, required=False))
        all_checks.append(Check(f"{prefix}finals unexpected", unexpected, 0))
        finals = float(found[f"{prefix}finals"] or 0)
        all_checks.append(Check(f"{prefix}finals", finals, 1, Sense.AT_LEAST, required=False))
    return all_checks


def _ms(seconds: float, stream_s: float) -> float:
    return round(1000 * seconds / stream_s, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
