from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from streamscribe import cli

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "numpy", "aiokafka", "rich", "asyncio", "argparse"}
Install: TypeAlias = Callable[[str], None]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Installs a command `probe` whose main is the given body."""

    def install(body: str) -> None:
        (tmp_path / "probe.py").write_text(f"import sys\ndef main(argv):\n    {body}\n", "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "probe", raising=False)
        monkeypatch.setitem(cli.COMMANDS, "probe", cli.Command("probe", ""))

    return install


def streamscribe(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamscribe", *argv], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_main(name: str):
    assert callable(cli.load(cli.COMMANDS[name]))


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_says_how_it_is_used(name: str):
    done = streamscribe(name, "--help")
    assert done.returncode == 0
    assert f"streamscribe {name}" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_wrong_flag_is_one_clear_line_and_a_usage_error(name: str):
    done = streamscribe(name, "--no-such-flag")
    assert done.returncode == cli.USAGE
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"streamscribe {name}")  # argparse tells of missing arguments first
    assert "error: " in last


def test_help_lists_the_commands_in_the_order_in_which_one_meets_them(
    capsys: pytest.CaptureFixture[str],
):
    assert cli.main(["--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert listed == [
        "demo",
        "broker",
        "topics",
        "acls",
        "weights",
        "worker",
        "publish",
        "tail",
        "state",
        "dlq",
        "redrive",
    ]


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from streamscribe.cli import main; main(['--help']);"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_the_distribution_s(capsys: pytest.CaptureFixture[str]):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"streamscribe {project['version']}\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["wokr"], "no command 'wokr', did you mean 'worker'?"),
        (["xyzzy"], "no command 'xyzzy';"),
        ([], "which command?"),
    ],
)
def test_an_unknown_command_is_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(argv) == cli.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_command_gets_its_arguments_and_its_code_is_the_exit_code(command: Install):
    command("return len(argv)")
    assert cli.main(["probe", "a", "--b", "c"]) == 3


def test_ctrl_c_is_no_traceback(command: Install):
    command("raise KeyboardInterrupt")
    assert cli.main(["probe"]) == 130


def test_a_missing_extra_says_what_to_install(command: Install, capsys: pytest.CaptureFixture[str]):
    command("raise ModuleNotFoundError(name='jgo')")
    assert cli.main(["probe"]) == 1
    assert capsys.readouterr().err.endswith("pip install 'streamscribe[devstack]'\n")


def test_a_missing_module_of_ours_is_a_bug_and_shown_as_one(command: Install):
    command("import streamscribe.attic")
    with pytest.raises(ModuleNotFoundError, match="attic"):
        cli.main(["probe"])


def test_the_extra_is_what_the_project_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra = project["optional-dependencies"][cli.EXTRA]
    assert {requirement.split(">=")[0] for requirement in extra} == cli.EXTRA_MODULES
    assert all(importlib.import_module(name) for name in cli.EXTRA_MODULES)


def test_a_reader_that_leaves_early_is_no_failure():
    program = "import sys; from streamscribe import cli; sys.exit(cli.guarded(writes_on))"
    program = f"def writes_on():\n    while True: cli.say('on')\n{program}"
    writer = [sys.executable, "-c", program]
    with subprocess.Popen(writer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"on\n"
        process.stdout.close()
        assert process.wait() == cli.BROKEN_PIPE
        assert not process.stderr.read()
