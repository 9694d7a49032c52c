from __future__ import annotations

from pathlib import Path

import pytest

from offline.inputs import FileInput, expanded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.WAV", "a.mp4", "notes.txt", ".hidden.wav", "deep/c.opus", ".git/d.wav"):
        path = tmp_path / "calls" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "calls"


def test_a_folder_is_searched_for_media_in_order_without_hidden_ones(folder: Path):
    names = [str(item.path.relative_to(folder)) for item in found(folder)]
    assert names == ["a.mp4", "b.WAV", "deep/c.opus"]
    assert {item.root for item in found(folder)} == {folder}


def test_a_file_that_is_named_may_have_any_ending(folder: Path):
    assert found(folder / "notes.txt") == [FileInput(folder / "notes.txt", folder)]


def test_a_file_is_taken_once_however_it_is_named(folder: Path):
    (folder.parent / "link.mp4").symlink_to(folder / "a.mp4")
    items = found(folder / "a.mp4", folder, folder.parent / "link.mp4")
    assert [item.path.name for item in items] == ["a.mp4", "b.WAV", "c.opus"]


def test_a_folder_without_media_is_yielded_itself(tmp_path: Path):
    assert list(expanded([str(tmp_path)])) == [tmp_path]


def found(*paths: Path) -> list[FileInput]:
    items = list(expanded(map(str, paths)))
    assert all(isinstance(item, FileInput) for item in items)
    return [item for item in items if isinstance(item, FileInput)]
