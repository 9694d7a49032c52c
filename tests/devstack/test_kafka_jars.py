"""Real downloads by jgo from a Maven repository on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devstack import kafka_jars
from devstack.errors import DevstackError
from devstack.kafka_jars import KAFKA_VERSION, class_path, locked_jars

JAR = b"locked content"
IN_MAVEN = Path("org/example/thing/1.0/thing-1.0.jar")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a repository that replaces Maven Central in jgo's settings."""
    folder = tmp_path / "repository"
    (folder / IN_MAVEN).parent.mkdir(parents=True)
    (folder / IN_MAVEN).write_bytes(JAR)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    with server:
        threading.Thread(target=server.serve_forever).start()
        yield folder
        server.shutdown()


@pytest.fixture
def cached(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path in the cache of the only jar of a small lock."""
    lock = tmp_path / "kafka.lock"
    lock.write_text(f"org.example:thing:1.0 {hashlib.sha256(JAR).hexdigest()}\n")
    monkeypatch.setattr(kafka_jars, "LOCK_FILE", lock)
    monkeypatch.setenv("STREAMSCRIBE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / f"kafka-{KAFKA_VERSION}" / "thing-1.0.jar"


def test_the_lock_names_kafka_and_every_jar_once():
    jars = locked_jars()
    assert f"kafka_2.13-{KAFKA_VERSION}.jar" in {jar.file_name for jar in jars}
    assert len({jar.file_name for jar in jars}) == len(jars) == 45


def test_a_jar_is_fetched_once(cached: Path, repository: Path):
    assert class_path() == str(cached)
    (repository / IN_MAVEN).unlink()
    assert class_path() == str(cached)
    assert cached.read_bytes() == JAR


def test_incomplete_files_of_a_killed_process_are_replaced(cached: Path):
    left = cached.parent / "incoming" / IN_MAVEN
    left.parent.mkdir(parents=True)
    left.write_bytes(JAR[:5])
    class_path()
    assert cached.read_bytes() == JAR
    assert {path.name for path in cached.parent.iterdir()} <= {cached.name, ".lock"}


def test_a_fetched_jar_that_differs_from_the_lock_is_rejected(cached: Path, repository: Path):
    (repository / IN_MAVEN).write_bytes(b"something else")
    with pytest.raises(DevstackError, match=r"differs from the jar in devstack/kafka\.lock"):
        class_path()
    assert not cached.exists()


def test_a_cached_jar_that_differs_from_the_lock_is_rejected(cached: Path):
    class_path()
    cached.write_bytes(b"something else")
    with pytest.raises(DevstackError, match="delete it"):
        class_path()


def test_a_jar_that_cannot_be_fetched_is_reported_with_what_to_check(
    cached: Path, repository: Path
):
    (repository / IN_MAVEN).unlink()
    with pytest.raises(DevstackError, match=r"thing-1\.0\.jar could not be fetched: check the net"):
        class_path()


def test_an_unwritable_home_is_reported(cached: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STREAMSCRIBE_HOME", "/dev/null")
    with pytest.raises(DevstackError, match="set STREAMSCRIBE_HOME"):
        class_path()
