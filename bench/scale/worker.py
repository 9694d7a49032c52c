"""`python -m bench.scale.worker`: the product's worker, with a stub engine, that measures itself.

Settings come from the environment, as `streamscribe worker` reads them. SIGUSR1 begins a
measurement, SIGUSR2 ends it and writes its report.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import consumer.__main__
from bench.scale.cpu_parts import CpuParts
from bench.scale.stub_engine import ServiceTimes, StubTranscriber
from consumer.service import Factories, serve
from consumer.settings import Settings
from evaluation.percentiles import percentile

_PROBE_S: Final = 0.02  # between two measurements of the loop's lag


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker has measured of itself."""

    wall_s: float
    cpu_s: dict[str, float]  # by part
    lag_p95_ms: float  # of the event loop
    lag_max_ms: float


def read_report(file: Path) -> WorkerReport | None:
    """Return the report, or None while there is none."""
    return WorkerReport(**json.loads(file.read_text("utf-8"))) if file.exists() else None


@dataclass(slots=True)
class _SelfMeasurement:
    file: Path
    parts: CpuParts = field(default_factory=CpuParts)
    lags_s: list[float] = field(default_factory=list)
    began_s: float = 0.0

    def begin(self, *_: object) -> None:
        self.began_s = time.monotonic()
        self.lags_s.clear()
        self.parts.reset()

    def end(self, *_: object) -> None:
        report = WorkerReport(
            wall_s=time.monotonic() - self.began_s,
            cpu_s=self.parts.seconds(),
            lag_p95_ms=1000 * (percentile(self.lags_s, 0.95) or 0.0),
            lag_max_ms=1000 * max(self.lags_s, default=0.0),
        )
        written = self.file.with_suffix(".part")
        written.write_text(json.dumps(asdict(report)), "utf-8")
        written.replace(self.file)

    async def probe(self) -> NoReturn:
        """Note by how much the event loop is late."""
        while True:
            due_s = time.monotonic() + _PROBE_S
            await asyncio.sleep(_PROBE_S)
            self.lags_s.append(time.monotonic() - due_s)


def main(argv: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(argv)
    times = ServiceTimes(asked.batch_ms / 1000, asked.row_ms / 1000)
    factories = Factories(transcriber=lambda _: StubTranscriber(asked.text, times))
    measurement = _SelfMeasurement(asked.report)
    signal.signal(signal.SIGUSR1, measurement.begin)
    signal.signal(signal.SIGUSR2, measurement.end)

    async def measured(settings: Settings, stop: asyncio.Event, ready: asyncio.Event) -> None:
        measurement.parts.start()
        async with asyncio.TaskGroup() as group:
            probe = group.create_task(measurement.probe())
            await serve(settings, stop, ready, factories)
            probe.cancel()

    return consumer.__main__.main([], measured)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.scale.worker", description=__doc__)
    parser.add_argument("--report", type=Path, required=True, help="file of the report")
    parser.add_argument("--batch-ms", type=float, required=True, help="service time of a batch")
    parser.add_argument("--row-ms", type=float, required=True, help="and of each of its rows")
    parser.add_argument("--text", required=True, help="recorded words")
    return parser


if __name__ == "__main__":
    sys.exit(main())
