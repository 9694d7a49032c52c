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
    """Return a function that installs a command `probe` with this body of `main`."""

    def install(body: str) -> None:
        (tmp_path / "probe.py").write_text(f"import sys\ndef main(argv):\n    {body}\n", "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "probe", raising=False)
        monkeypatch.setitem(cli.COMMANDS, "probe", cli.Command("probe", ""))

    return install


def exit_code(*argv: str) -> object:
    with pytest.raises(SystemExit) as raised:  # by argparse
        cli.main(argv)
    return raised.value.code


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_main(name: str):
    assert callable(cli.load(cli.COMMANDS[name]))


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_help(name: str, capsys: pytest.CaptureFixture[str]):
    assert exit_code(name, "--help") == 0
    output = capsys.readouterr()
    assert f"streamscribe {name}" in output.out
    assert not output.err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_an_unknown_flag_is_a_usage_error_of_one_line(
    name: str, capsys: pytest.CaptureFixture[str]
):
    assert exit_code(name, "--no-such-flag") == cli.USAGE
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"streamscribe {name}")  # or argparse's error on missing arguments
    assert "error: " in last


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "streamscribe", "weights", "--no-such-flag"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == cli.USAGE
    assert done.stderr.splitlines()[-1].startswith("streamscribe weights: error: ")


def test_help_lists_the_commands_in_the_order_of_use(
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
        "transcribe",
        "worker",
        "engine",
        "publish",
        "tail",
        "export",
        "state",
        "dlq",
        "redrive",
    ]


def test_help_imports_no_heavy_module():
    program = (
        "import sys; from streamscribe.cli import main; main(['--help']);"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"streamscribe {project['version']}\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["wokr"], "no command 'wokr', did you mean 'worker'?"),
        (["xyzzy"], "no command 'xyzzy';"),
        ([], "no command given"),
    ],
)
def test_an_unknown_command_is_a_one_line_error(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(argv) == cli.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_command_gets_its_arguments_and_returns_the_exit_code(command: Install):
    command("return len(argv)")
    assert cli.main(["probe", "a", "--b", "c"]) == 3


def test_ctrl_c_prints_no_traceback(command: Install):
    command("raise KeyboardInterrupt")
    assert cli.main(["probe"]) == 130


@pytest.mark.parametrize(("module", "extra"), [("jgo", "devstack"), ("docx", "docx")])
def test_a_missing_extra_is_reported_with_the_install_command(
    module: str, extra: str, command: Install, capsys: pytest.CaptureFixture[str]
):
    command(f"raise ModuleNotFoundError(name={module!r})")
    assert cli.main(["probe"]) == 1
    assert capsys.readouterr().err.endswith(f"pip install 'streamscribe[{extra}]'\n")


def test_a_missing_module_of_the_project_is_raised_as_a_bug(command: Install):
    command("import streamscribe.attic")
    with pytest.raises(ModuleNotFoundError, match="attic"):
        cli.main(["probe"])


@pytest.mark.parametrize("extra", ["devstack", "docx"])
def test_the_modules_of_an_extra_are_those_of_the_project(extra: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    required = {each.split(">=")[0] for each in project["optional-dependencies"][extra]}
    modules = {module for module, of in cli.EXTRAS.items() if of == extra}
    assert {name.removeprefix("python-") for name in required} == modules
    assert all(importlib.import_module(name) for name in modules)


def test_a_closed_output_ends_the_command_without_an_error_message():
    program = "import sys; from streamscribe import cli; sys.exit(cli.run(write))"
    program = f"def write():\n    while True: cli.print_text('text')\n{program}"
    writer = [sys.executable, "-c", program]
    with subprocess.Popen(writer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"text\n"
        process.stdout.close()
        assert process.wait() == cli.BROKEN_PIPE
        assert not process.stderr.read()
