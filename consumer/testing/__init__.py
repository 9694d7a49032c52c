"""Test doubles and a simulation of a worker, for this project and for whoever builds on it."""

from consumer.testing.doubles import (
    EchoEngine,
    InlineCodecs,
    ManualClock,
    MemoryBroadcast,
    MemoryJournal,
    MemoryStore,
    ScriptedSource,
    echo,
)

__all__ = [
    "EchoEngine",
    "InlineCodecs",
    "ManualClock",
    "MemoryBroadcast",
    "MemoryJournal",
    "MemoryStore",
    "ScriptedSource",
    "echo",
]
