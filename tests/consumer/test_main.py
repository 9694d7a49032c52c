from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from consumer.__main__ import main
from consumer.settings import Settings


def python(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=False)


def test_help_names_every_setting_and_the_exit_codes():
    done = python("-m", "consumer", "--help")
    assert done.returncode == 0
    for field in fields(Settings):
        assert f"--{field.name.replace('_', '-')} X" in done.stdout
    assert "exit codes: 0" in done.stdout
    assert not done.stderr


def test_an_unknown_flag_is_a_usage_error(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exited:
        main(["--no-such-flag"])
    assert exited.value.code == 2
    assert "--no-such-flag" in capsys.readouterr().err


def test_every_invalid_setting_is_reported_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STREAMSCRIBE_CODEC", "g722")
    monkeypatch.setenv("STREAMSCRIBE_CHANNELS", "3")
    assert main(["--rate", "fast"]) == 2
    out, err = capsys.readouterr()
    names = [line.split("=")[0].split(":")[1].strip() for line in err.splitlines()]
    assert sorted(names) == [
        "STREAMSCRIBE_CHANNELS",
        "STREAMSCRIBE_CODEC",
        "STREAMSCRIBE_RATE",
    ]
    assert not out


def test_settings_are_checked_before_large_libraries_are_loaded():
    code = "import sys; from consumer.__main__ import main; code = main(['--rate', '1']); "
    code += "print(code, {'torch', 'aiokafka', 'whisper', 'soundfile'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "2 set()\n"


def test_an_empty_flag_is_ignored(capsys: pytest.CaptureFixture[str]):
    assert main(["--group", "", "--rate", "1"]) == 2
    assert "GROUP" not in capsys.readouterr().err
