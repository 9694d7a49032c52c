"""Real Whisper weights for tests, downloaded once into the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.console import Console

from weights.resolve import cache_folder, resolve, search_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests that use weights, so that `-m "not whisper"` leaves them out."""
    for item in items:
        if {"base_weights", "tiny_en_weights"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker("whisper")


@pytest.fixture(scope="session")
def base_weights() -> Path:
    """The multilingual base model: a file or a folder, for `checkpoint.load`.

    $BASE_WEIGHTS names another file of it, on a machine that can fetch none.
    """
    return fetch(os.environ.get("BASE_WEIGHTS", "base"))


@pytest.fixture(scope="session")
def tiny_en_weights() -> Path:
    """The English tiny model: OpenAI's file."""
    return fetch("tiny.en")


def fetch(name: str) -> Path:
    search, cache = search_path(os.environ), cache_folder(os.environ)
    return resolve(name, search=search, cache=cache, console=Console(stderr=True)).path
