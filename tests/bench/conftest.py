from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from bench.__main__ import main

RunBench: TypeAlias = Callable[..., dict[str, Any]]


@pytest.fixture
def run_bench(tmp_path: Path) -> RunBench:
    """Return a function that runs a bench with these arguments and returns its JSON."""

    def run(line: str, **paths: Path) -> dict[str, Any]:
        flags = (f"--{name}={path}" for name, path in paths.items())
        file = tmp_path / "found.json"
        assert main([*line.split(), *flags, "--json", str(file)]) == 0
        return json.loads(file.read_text("utf-8"))  # type: ignore[no-any-return]

    return run
