"""Utterances as streams and files append them, drawn by a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from consumer.core.streams.records import Lane
from consumer.testing.simulation import BASE_ON_TWO_CORES as COST

CAPACITY: Final = 8 * 4.0 / COST.of([4.0] * 8)  # RTFx
SPEECH_SHARE: Final = 0.45
HOT: Final = 300  # utterances that one stream delivers at once
BACKLOG: Final = 2000  # utterances of files
_LOADS: Final = {
    "steady": (0.5, 0.9, 1.5),
    "hot": (0.5, 0.8),
    "bulk": (0.5, 0.8),
    "overload": (0.6,),
}
_OVERLOAD: Final = 1.5
_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class SimulatedUtterance:
    """One utterance of a stream."""

    stream: str
    end_s: float  # when its record is appended
    seconds: float
    lane: Lane = Lane.LIVE


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which streams speak, how much and how long."""

    name: str
    load: float
    until_s: float

    def __str__(self) -> str:
        return f"{self.name} {self.load}"

    def utterances(self, lengths: Sequence[float]) -> Iterator[SimulatedUtterance]:
        rng = random.Random(_SEED)
        for number in range(_streams(self.load)):
            yield from conversation(f"live-{number}", lengths, rng, self.until_s)
        if self.name == "hot":
            for _ in range(HOT):
                yield SimulatedUtterance("hot", self.until_s / 4, rng.choice(lengths))
        if self.name == "bulk":
            for _ in range(BACKLOG):
                yield SimulatedUtterance("bulk", 0.0, rng.choice(lengths), Lane.BULK)
        if self.name == "overload":
            for number in range(_streams(_OVERLOAD - self.load)):
                yield from conversation(f"more-{number}", lengths, rng, self.until_s / 4)


def scenarios(until_s: float) -> list[Scenario]:
    return [Scenario(name, load, until_s) for name, loads in _LOADS.items() for load in loads]


def conversation(
    stream: str, lengths: Sequence[float], rng: random.Random, until_s: float
) -> Iterator[SimulatedUtterance]:
    """Yield utterances of recorded lengths, with pauses between that keep the share of speech."""
    pause_s = sum(lengths) / len(lengths) * (1 / SPEECH_SHARE - 1)
    now = rng.uniform(-2 * pause_s, 0)  # streams do not start together
    while True:
        seconds = rng.choice(lengths)
        now += rng.expovariate(1 / pause_s) + seconds
        if now >= until_s:
            return
        if now >= 0:
            yield SimulatedUtterance(stream, now, seconds)


def _streams(load: float) -> int:
    return round(load * CAPACITY / SPEECH_SHARE)
