"""Real Whisper weights for whichever test asks; fetched once, then kept in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.console import Console

from weights.resolve import cache_folder, resolve, search_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses weights says so: `-m "not whisper"` leaves the rest."""
    for item in items:
        if {"base_weights", "tiny_en_weights"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker("whisper")


@pytest.fixture(scope="session")
def base_weights() -> Path:
    """Multilingual base: a file or a folder, for `checkpoint.load`."""
    return fetched("base")


@pytest.fixture(scope="session")
def tiny_en_weights() -> Path:
    """English tiny: OpenAI's own file."""
    return fetched("tiny.en")


def fetched(name: str) -> Path:
    search, cache = search_path(os.environ), cache_folder(os.environ)
    return resolve(name, search=search, cache=cache, console=Console(stderr=True)).path
