"""Names of outputs: no two inputs share one, in one run or several."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.inputs import FileInput
from offline.naming import OutputNames

OUT = Path("/out")
PARTS = st.sampled_from(["a", "b", "A", "x.wav", "x.mp3", "x", "X.wav", "x.tar.wav"])
FILES = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: Path("/", *parts))


def item(path: str, root: str | None = None) -> FileInput:
    return FileInput(Path(path), Path(path).parent if root is None else Path(root))


def assign(
    out: Path | None, *items: FileInput, owners: dict[Path, Path] | None = None
) -> list[str]:
    names = OutputNames(out, owners or {})
    return [str(names.assign(each, each.path)) for each in items]


@given(st.lists(FILES, unique=True), st.sampled_from([None, OUT]))
def test_no_two_inputs_have_the_same_name(paths: list[Path], out: Path | None):
    names = OutputNames(out, {})
    assigned = [str(names.assign(FileInput(path, path.parent), path)) for path in paths]
    assert len({name.casefold() for name in assigned}) == len(paths)


@given(st.lists(FILES, unique=True), st.lists(FILES, unique=True), st.sampled_from([None, OUT]))
def test_an_input_keeps_its_name_in_a_later_run(
    first: list[Path], second: list[Path], out: Path | None
):
    names = OutputNames(out, {})
    owners = {names.assign(FileInput(path, path.parent), path): path for path in first}
    later = OutputNames(out, owners)
    known = {path: name for name, path in owners.items()}
    for path in [*second, *first]:
        name = later.assign(FileInput(path, path.parent), path)
        assert known.setdefault(path, name) == name
    assert len({str(name).casefold() for name in known.values()}) == len(known)


def test_a_name_is_that_of_the_file_without_its_ending():
    assert assign(None, item("/calls/a.b.wav")) == ["/calls/a.b"]


def test_the_folders_below_a_named_folder_are_kept():
    assert assign(OUT, item("/calls/may/a.wav", root="/calls")) == ["/out/may/a"]


def test_the_second_of_two_folders_has_its_folder_in_the_name():
    items = item("/calls/a.wav"), item("/other/a.wav"), item("/third/A.WAV")
    assert assign(OUT, *items) == ["/out/a", "/out/other/a", "/out/third/A"]


@pytest.mark.parametrize(("out", "expected"), [(None, "/calls/a.mp3"), (OUT, "/out/calls/a")])
def test_the_second_of_one_folder_has_a_longer_name(out: Path | None, expected: str):
    assert assign(out, item("/calls/a.wav"), item("/calls/a.mp3"))[1] == expected


def test_an_input_keeps_its_name_when_it_is_named_in_another_way():
    owners = {Path("/out/may/a"): Path("/calls/may/a.wav")}
    assert assign(OUT, item("/calls/may/a.wav"), owners=owners) == ["/out/may/a"]
