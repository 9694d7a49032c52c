from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from weights.catalogue import BY_NAME
from weights.errors import WeightsError
from weights.fold_record import (
    LIMIT_POINTS,
    MIN_CLIPS,
    SHIPPED,
    FoldRecord,
    LanguageCheck,
    find,
    own_folder,
    read,
    write,
)

GOOD = LanguageCheck(MIN_CLIPS, 11.4, 11.7, -0.6, LIMIT_POINTS)
RECORD = FoldRecord("ab" * 32, "mine", "float32", {"en": GOOD, "zh": GOOD})
BASE = BY_NAME["base"]


@pytest.mark.parametrize(
    ("changed", "passed"),
    [
        ({}, True),
        ({"high_points": LIMIT_POINTS + 0.01}, False),
        ({"clips": MIN_CLIPS - 1}, False),
    ],
)
def test_every_language_has_to_pass(changed: dict[str, float], passed: bool):
    one = replace(GOOD, **changed)  # type: ignore[arg-type]
    assert one.passed is passed
    assert replace(RECORD, languages={"en": GOOD, "zh": one}).passed is passed


def test_nothing_checked_is_nothing_passed():
    assert not replace(RECORD, languages={}).passed


def test_what_is_written_is_found(tmp_path: Path):
    home = {"STREAMSCRIBE_HOME": str(tmp_path)}
    assert find(RECORD.sha256, home) is None
    file = write(RECORD, own_folder(home))

    assert file == tmp_path / "folds" / f"{RECORD.sha256}.json"
    assert find(RECORD.sha256, home) == RECORD
    assert [*file.parent.iterdir()] == [file]


def test_the_users_own_record_comes_first(tmp_path: Path):
    home = {"STREAMSCRIBE_HOME": str(tmp_path)}
    refused = replace(RECORD, sha256=BASE.sha256, languages={"en": replace(GOOD, clips=1)})
    write(refused, own_folder(home))
    assert find(BASE.sha256, home) == refused


@pytest.mark.parametrize("name", ["base", "tiny.en"])
def test_records_of_base_and_tiny_en_come_with_the_package(tmp_path: Path, name: str):
    """Whichever file the weights are read from: equal weights need no check of their own."""
    for sha256 in BY_NAME[name].accepted:
        record = find(sha256, {"STREAMSCRIBE_HOME": str(tmp_path)})
        assert record is not None
        assert record.passed
        assert record.model == name


def test_shipped_records_bear_the_name_of_their_weights():
    files = [*SHIPPED.glob("*.json")]
    assert len(files) == 2
    assert all(read(file).sha256 == file.stem for file in files)


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"sha256": 3})])
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, content: str):
    (file := tmp_path / "x.json").write_text(content)
    with pytest.raises(WeightsError, match=f"{file}: no fold record .*bench fold"):
        read(file)


def test_a_record_that_cannot_be_kept_says_where(tmp_path: Path):
    (tmp_path / "folds").write_text("a file")
    with pytest.raises(WeightsError, match="cannot keep a fold record in"):
        write(RECORD, tmp_path / "folds")
