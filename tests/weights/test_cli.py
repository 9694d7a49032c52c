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


def test_fetch_tries_all_names_and_fails_if_one_fails(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    (home / "x.pt").write_bytes(b"x")

    assert main(["fetch", "huge", str(home / "x.pt")]) == 2

    output = capsys.readouterr()
    assert output.out.startswith("x\t")
    assert "no weights are called 'huge'" in output.err


@pytest.mark.parametrize("argv", [[], ["list"]])
def test_list_prints_every_name_and_local_files(
    argv: list[str], home: Path, capsys: pytest.CaptureFixture[str]
):
    (home / "weights" / "small.pt").touch()

    assert main(argv) == 0

    lines = capsys.readouterr().out.splitlines()
    assert any("large-v3-turbo = turbo" in line for line in lines)
    assert [line.split()[0] for line in lines if "small.pt" in line] == ["small"]


@pytest.mark.parametrize("argv", [["fetch"], ["bake", "base"], ["--no-such-flag"]])
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as raised:
        main(argv)

    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("usage: streamscribe weights")
