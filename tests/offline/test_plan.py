"""What a run does, given what earlier runs have done."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline import arguments
from offline.__main__ import text_options
from offline.plan import FileOutput, Plan, Planning
from offline.transcript import Transcript

NOTHING = Transcript("a.wav", 0.0, ())


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A folder with two files of one name in two folders, and another beside the first."""
    for name in ("may/call.wav", "may/call.mp3", "june/call.wav"):
        path = tmp_path / "calls" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"audio")
    return tmp_path / "calls"


def plan(*argv: str | Path) -> Plan:
    options = arguments.parser().parse_args([*map(str, argv)])
    settings = arguments.settings({}, **arguments.model_settings(options))
    return Planning(options, text_options(options, settings)).plan()


def do(planned: Plan) -> list[str]:
    """Write the outputs of a plan, and return their paths."""
    return [path for task in planned.tasks for path in task.output.write(NOTHING)]


def test_no_two_files_have_the_same_output(calls: Path, tmp_path: Path):
    out = tmp_path / "out"
    names = {str(Path(path).relative_to(out)) for path in do(plan(calls, "--out", out))}
    assert names == {"may/call.txt", "may/may/call.txt", "june/call.txt"}
    files = do(plan(calls / "may/call.wav", calls / "june/call.wav", "--out", tmp_path / "flat"))
    assert [Path(path).relative_to(tmp_path) for path in files] == [
        Path("flat/call.txt"),
        Path("flat/june/call.txt"),
    ]


def test_files_of_two_runs_have_different_outputs(calls: Path, tmp_path: Path):
    first = do(plan(calls / "may/call.wav", "--out", tmp_path))
    assert first != do(plan(calls / "june/call.wav", "--out", tmp_path))


@pytest.mark.parametrize(
    ("arguments", "done"),
    [
        ((), 3),
        (("--format", "txt"), 3),
        (("--format", "srt"), 0),
        (("--language", "zh"), 0),
        (("--prompt", "An invoice."), 0),
        (("--translate",), 0),
        (("--model", "tiny"), 0),
        (("--overwrite",), 0),
    ],
)
def test_what_is_done_with_the_same_options_is_skipped(
    calls: Path, arguments: tuple[str, ...], done: int
):
    do(plan(calls))
    again = plan(calls, *arguments)
    assert (again.skipped, len(again.tasks), again.failures) == (done, 3 - done, [])


def test_a_file_that_has_changed_is_done_again(calls: Path):
    do(plan(calls))
    (calls / "june/call.wav").write_bytes(b"more audio")
    assert [task.name for task in plan(calls).tasks] == [str(calls / "june/call.wav")]


def test_standard_input_is_never_done_and_replaces_only_its_own_output(tmp_path: Path):
    assert do(plan("-", "--out", tmp_path)) == [str(tmp_path / "stdin.txt")]
    assert do(plan("-", "--out", tmp_path)) == [str(tmp_path / "stdin.txt")]
    (tmp_path / "stdin.srt").write_text("notes")
    (failure,) = plan("-", "--out", tmp_path, "--format", "srt").failures
    assert failure.reason.startswith(f"{tmp_path / 'stdin.srt'} exists")


def test_each_format_is_written_once(calls: Path):
    planned = plan(calls / "june/call.wav", "--format", "srt,txt", "--format", "txt")
    (output,) = [task.output for task in planned.tasks]
    assert isinstance(output, FileOutput)
    assert output.formats == ["srt", "txt"]


def test_only_settings_about_files_are_read_from_the_environment():
    environ = {"STREAMSCRIBE_MODEL": "tiny", "STREAMSCRIBE_BOOTSTRAP": "no broker"}
    settings = arguments.settings(environ)
    assert (settings.model, settings.language, settings.eager) == ("tiny", "auto", False)
    assert arguments.settings({"STREAMSCRIBE_LANGUAGE": "zh"}).language == "zh"
