"""The list of what is done: nothing is done twice, and nothing of others is replaced."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.done_files import LIST_NAME, DoneFile, DoneFiles
from transport.files import replace_file

DONE = DoneFile("/calls/a.wav", 10, 20, {"language": "en"}, "a", (".txt",))


def change(**fields: object) -> DoneFile:
    return msgspec.structs.replace(DONE, **fields)


def listed(folder: Path, *entries: DoneFile) -> DoneFiles:
    """Return the list as a later run reads it, of entries whose outputs exist."""
    files = DoneFiles(folder)
    for entry in entries:
        for path in files.paths(entry):
            replace_file(path, b"text")
        files.add(entry)
    return DoneFiles(folder)


def test_what_was_done_is_done_in_a_later_run(tmp_path: Path):
    assert listed(tmp_path, DONE).find(DONE) == DONE
    assert listed(tmp_path).owners == {tmp_path / "a": Path("/calls/a.wav")}


@pytest.mark.parametrize(
    "changed",
    [
        change(size=11),
        change(mtime_ns=21),
        change(options={"language": "zh"}),
        change(source="/calls/b.wav"),
        change(suffixes=(".txt", ".srt")),
    ],
)
def test_what_has_changed_is_not_done(tmp_path: Path, changed: DoneFile):
    assert listed(tmp_path, DONE).find(changed) is None


def test_what_lacks_an_output_is_not_done(tmp_path: Path):
    files = listed(tmp_path, DONE)
    (tmp_path / "a.txt").unlink()
    assert files.find(DONE) is None


def test_formats_of_several_runs_add_up(tmp_path: Path):
    files = listed(tmp_path, DONE, change(suffixes=(".srt",)))
    assert files.find(change(suffixes=(".txt", ".srt"))) is not None


def test_only_files_that_are_not_listed_are_foreign(tmp_path: Path):
    files = listed(tmp_path, DONE)
    (tmp_path / "a.srt").write_text("notes")
    assert files.foreign(change(suffixes=(".txt", ".srt"), size=11)) == [tmp_path / "a.srt"]
    assert DoneFiles(tmp_path / "other").foreign(DONE) == []


@given(st.integers(0, 400))
def test_a_list_that_was_cut_anywhere_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, size: int
):
    folder = tmp_path_factory.mktemp("cut")
    entries = [change(source=f"/{n}", name=str(n)) for n in range(3)]
    listed(folder, *entries)
    lines = (folder / LIST_NAME).read_bytes()
    (folder / LIST_NAME).write_bytes(lines[:size])
    whole = lines[:size].count(b"}\n")
    again = listed(folder, change(source="/new", name="new"))
    assert set(again.owners.values()) >= {Path("/new"), *(Path(f"/{n}") for n in range(whole))}
