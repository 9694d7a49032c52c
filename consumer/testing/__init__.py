"""Test doubles of the pipeline's shells, and a simulation of a worker: a public API."""

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
