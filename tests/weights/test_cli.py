from __future__ import annotations

from pathlib import Path

import pytest

from weights.cli import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMSCRIBE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("STREAMSCRIBE_WEIGHTS_PATH", raising=False)
    (tmp_path / "weights").mkdir()
    return tmp_path


def test_fetch_prints_name_path_and_hash(
    home: Path, tiny_en_weights: Path, capsys: pytest.CaptureFixture[str]
):
    link = home / "weights" / "tiny.en.pt"
    link.symlink_to(tiny_en_weights)

    assert main(["fetch", "tiny.en"]) == 0

    name, path, sha256 = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (name, path, sha256[:8]) == ("tiny.en", str(link), "d3dd57d3")


def test_fetch_tries_all_and_fails_for_one(home: Path, capsys: pytest.CaptureFixture[str]):
    (home / "x.pt").write_bytes(b"x")

    assert main(["fetch", "huge", str(home / "x.pt")]) == 2

    told = capsys.readouterr()
    assert told.out.startswith("x\t")
    assert "no weights are called 'huge'" in told.err


@pytest.mark.parametrize("argv", [[], ["list"]])
def test_list_shows_every_name_and_what_is_here(
    argv: list[str], home: Path, capsys: pytest.CaptureFixture[str]
):
    (home / "weights" / "small.pt").touch()

    assert main(argv) == 0

    lines = capsys.readouterr().out.splitlines()
    assert any("large-v3-turbo = turbo" in line for line in lines)
    assert [line.split()[0] for line in lines if "small.pt" in line] == ["small"]


@pytest.mark.parametrize("argv", [["fetch"], ["bake", "base"], ["--no-such-flag"]])
def test_wrong_usage_ends_with_two(argv: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(argv)

    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: streamscribe weights")
