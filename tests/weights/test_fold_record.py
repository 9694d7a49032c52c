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
def test_every_language_must_pass(changed: dict[str, float], passed: bool):
    one = replace(GOOD, **changed)  # type: ignore[arg-type]
    assert one.passed is passed
    assert replace(RECORD, languages={"en": GOOD, "zh": one}).passed is passed


def test_a_record_without_languages_does_not_pass():
    assert not replace(RECORD, languages={}).passed


def test_a_written_record_is_found(tmp_path: Path):
    home = {"STREAMSCRIBE_HOME": str(tmp_path)}
    assert find(RECORD.sha256, home) is None
    file = write(RECORD, own_folder(home))

    assert file == tmp_path / "folds" / f"{RECORD.sha256}.json"
    assert find(RECORD.sha256, home) == RECORD
    assert [*file.parent.iterdir()] == [file]


def test_the_user_s_record_takes_precedence(tmp_path: Path):
    home = {"STREAMSCRIBE_HOME": str(tmp_path)}
    failed = replace(RECORD, sha256=BASE.sha256, languages={"en": replace(GOOD, clips=1)})
    write(failed, own_folder(home))
    assert find(BASE.sha256, home) == failed


@pytest.mark.parametrize("name", ["base", "tiny.en"])
def test_the_package_contains_records_of_base_and_tiny_en(tmp_path: Path, name: str):
    """Every file with equal weights has the record."""
    for sha256 in BY_NAME[name].accepted:
        record = find(sha256, {"STREAMSCRIBE_HOME": str(tmp_path)})
        assert record is not None
        assert record.passed
        assert record.model == name


def test_shipped_records_are_named_by_their_weights():
    files = [*SHIPPED.glob("*.json")]
    assert len(files) == 2
    assert all(read(file).sha256 == file.stem for file in files)


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"sha256": 3})])
def test_an_unreadable_record_is_reported(tmp_path: Path, content: str):
    (file := tmp_path / "x.json").write_text(content)
    with pytest.raises(WeightsError, match=f"{file}: not a fold record .*bench fold"):
        read(file)


def test_an_unwritable_folder_is_reported(tmp_path: Path):
    (tmp_path / "folds").write_text("a file")
    with pytest.raises(WeightsError, match="cannot write a fold record to"):
        write(RECORD, tmp_path / "folds")
