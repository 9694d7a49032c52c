"""Kafka's jars: fetched once, verified against `kafka.lock`, kept in the cache.

Nothing is resolved at run time: the lock names every jar with its sha256, and jgo fetches it from
Maven Central, or from the `central` repository of the user's jgo settings. For another Kafka change
ROOTS and run `python -m devstack.kafka_jars`, which resolves it and writes the lock.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from filelock import FileLock
from rich.console import Console
from rich.progress import track

from devstack.errors import DevstackError
from weights.resolve import cache_home

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

KAFKA_VERSION = "4.4.0"
# Kafka logs through slf4j and contains no logger; slf4j-simple writes to standard error.
ROOTS = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
LOCK_FILE = Path(__file__).with_name("kafka.lock")
_PARALLEL_DOWNLOADS = 8


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str  # hex

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def in_maven(self, maven: MavenContext) -> Artifact:
        return maven.project(self.group, self.artifact).at_version(self.version).artifact()


def locked_jars() -> tuple[Jar, ...]:
    rows = LOCK_FILE.read_text("ascii").replace(":", " ").splitlines()
    return tuple(Jar(*row.split()) for row in rows)


def class_path() -> str:
    """Return Kafka's class path after fetching missing jars and verifying all of them.

    Safe to call from several processes. Raises DevstackError if a jar cannot be fetched or stored,
    or differs from the lock.
    """
    folder, jars = cache_home(os.environ) / f"kafka-{KAFKA_VERSION}", locked_jars()
    with _writable(folder), FileLock(folder / ".lock"):
        _fetch([jar for jar in jars if not (folder / jar.file_name).exists()], folder)
        for jar in jars:
            _verify(folder / jar.file_name, jar)
    return ":".join(str(folder / jar.file_name) for jar in jars)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Create the folder; translate file errors in the body to DevstackError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DevstackError(
            f"Kafka cannot be stored in {folder} ({error}): set STREAMSCRIBE_HOME to a "
            "writable folder with 50 MB free"
        ) from error


def _fetch(jars: list[Jar], folder: Path) -> None:
    if not jars:
        return
    incoming = folder / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)  # left by a killed process
    maven = _maven(incoming)
    try:
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            done = pool.map(lambda jar: _fetch_one(jar, maven, folder), jars)
            for _ in _progress(done, len(jars)):
                pass
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _progress(done: Iterable[None], total: int) -> Iterable[None]:
    label = f"Fetching Kafka {KAFKA_VERSION}"
    return track(done, label, total, console=Console(stderr=True))


def _fetch_one(jar: Jar, maven: MavenContext, folder: Path) -> None:
    """Fetch and verify a jar, then move it to its final name."""
    try:
        fetched = jar.in_maven(maven).resolve()
    except (OSError, RuntimeError) as error:  # requests raises OSErrors, jgo RuntimeErrors
        raise DevstackError(
            f"{jar.file_name} could not be fetched: check the network, the proxy (HTTPS_PROXY) or "
            f"the mirror in jgo's settings, and try again; fetched jars are kept. {error}"
        ) from error
    _verify(fetched, jar)
    fetched.replace(folder / jar.file_name)


def _verify(path: Path, jar: Jar) -> None:
    if _sha256(path) != jar.sha256:
        raise DevstackError(
            f"{path} differs from the jar in devstack/{LOCK_FILE.name}: delete it and try again "
            "to fetch it anew"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _maven(repo_cache: Path) -> MavenContext:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    remotes = {"central": MAVEN_CENTRAL_URL} | GlobalSettings.load().repositories
    return MavenContext(repo_cache=repo_cache, remote_repos=remotes)


def write_lock() -> None:
    """Resolve ROOTS and write every jar with the sha256 of the fetched file to the lock."""
    import jgo

    with TemporaryDirectory() as folder:
        maven = _maven(Path(folder))
        rows = [_lock_row(artifact, maven) for artifact in jgo.resolve(ROOTS)]
    LOCK_FILE.write_text("".join(sorted(rows)), "ascii")


def _lock_row(artifact: Artifact, maven: MavenContext) -> str:
    jar = Jar(artifact.groupId, artifact.artifactId, artifact.version, sha256="")
    return f"{jar.group}:{jar.artifact}:{jar.version} {_sha256(jar.in_maven(maven).resolve())}\n"


if __name__ == "__main__":
    write_lock()
