"""Test doubles and a simulation of a worker, for this project and for whoever builds on it."""

from consumer.testing.doubles import (
    EchoEngine,
    ManualClock,
    MemoryBroadcast,
    MemoryJournal,
    MemoryStore,
    ScriptedSource,
    echo,
)

__all__ = [
    "EchoEngine",
    "ManualClock",
    "MemoryBroadcast",
    "MemoryJournal",
    "MemoryStore",
    "ScriptedSource",
    "echo",
]
