from __future__ import annotations

from pathlib import Path

import pytest

from transport.files import replace_file


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path: Path):
    file = tmp_path / "deep" / "a.txt"
    replace_file(file, b"text")
    replace_file(file, b"other")
    assert file.read_bytes() == b"other"
    with pytest.raises(OSError, match=r"a\.txt"):
        replace_file(file / "b.txt", b"text")
    file.with_name("folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        replace_file(file.with_name("folder"), b"text")
    assert sorted(path.name for path in file.parent.iterdir()) == ["a.txt", "folder"]
