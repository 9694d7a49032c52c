"""Runs of scenarios: the systems in turn, each with a new worker for its turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil
from pathlib import Path
from typing import Final

from bench.framework import BenchContext
from bench.live.capacity import CapacitySearch
from bench.live.conversations import LiveScenario
from bench.live.environment import start_worker
from bench.live.latency import clip_results
from bench.live.observations import Observed
from bench.live.scenarios import ScenarioFactory
from bench.live.systems import System
from devstack.kafka import LocalKafka
from evaluation.percentiles import percentile

_PROBE_PATIENCE_S: Final = 5.0  # a probe that needs longer has failed
_PROBE_CLIPS: Final = 40  # that a probe times at least
_CLIPS_PER_S: Final = 0.09  # of one stream, for clips of about 5 s


@dataclass(frozen=True, slots=True)
class LiveRun:
    """The systems of one run."""

    context: BenchContext
    systems: Sequence[System]
    log_folder: Path

    async def play(self, rounds: Sequence[Mapping[str, LiveScenario]]) -> Observed:
        """Play each round to every system; a round holds scenarios by name."""
        observed: Observed = {system.name: {} for system in self.systems}
        seconds = sum(scenario.seconds for each in rounds for scenario in each.values())
        with self.context.progress(len(self.systems) * seconds) as advance:
            async with LocalKafka() as kafka:
                for scenarios, system in product(rounds, self.systems):
                    self.context.print(f"{system.name}: starting the worker")
                    async with start_worker(kafka.bootstrap, system, self.log_folder) as worker:
                        for name, scenario in scenarios.items():
                            self._report_start(system, name, scenario)
                            observation = await worker.play(scenario, advance)
                            observed[system.name].setdefault(name, []).append(observation)
        return observed

    def _report_start(self, system: System, name: str, scenario: LiveScenario) -> None:
        streams, seconds = len(scenario.conversations), scenario.seconds
        self.context.print(f"{system.name}: {name}, {streams} streams, {seconds:.0f} s")

    async def find_capacity(self, factory: ScenarioFactory) -> dict[str, CapacitySearch]:
        """Search the most streams of each system; they take turns."""
        asked = self.context.arguments
        searches = {system.name: CapacitySearch(asked.streams) for system in self.systems}
        async with LocalKafka() as kafka:
            while any(search.next() for search in searches.values()):
                for system in self.systems:
                    search = searches[system.name]
                    if (streams := search.next()) is not None:
                        p95_s = await self._probe(kafka.bootstrap, system, factory, streams)
                        search.tried[streams] = p95_s <= asked.limit_s
                        self.context.print(f"{system.name}: {streams} streams, p95 {p95_s:.2f} s")
        return searches

    async def _probe(
        self, bootstrap: str, system: System, factory: ScenarioFactory, streams: int
    ) -> float:
        """Return the p95 latency of that many streams, of enough clips; inf without any final."""
        asked = self.context.arguments
        enough_s = ceil(_PROBE_CLIPS / (_CLIPS_PER_S * streams))
        talk = factory.talk(
            f"probe-{streams}", streams, asked.warm_up_s + max(asked.probe_s, enough_s)
        )
        async with start_worker(bootstrap, system, self.log_folder) as worker:
            observation = await worker.play(
                replace(talk, patience_s=_PROBE_PATIENCE_S), lambda _amount, _name: None
            )
        waits_s = (clip.wait_s for clip in clip_results([observation], asked.warm_up_s))
        return percentile((each for each in waits_s if each is not None), 0.95) or float("inf")
