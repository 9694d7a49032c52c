"""Chaos in short: real broker, real workers, a few faults; and a mistake that has to be caught."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main

SMALL = "chaos --brokers 1 --workers 2 --streams 6 --partitions 2 --seed 5"


def chaos(line: str, file: Path) -> dict[str, Any]:
    assert main([*SMALL.split(), *line.split(), "--json", str(file)]) == 0
    return json.loads(file.read_text("utf-8"))


@pytest.mark.broker
def test_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    found = chaos("--minutes 0.7 --faults kill-sends-done,kill-end-sent,refuse", tmp_path / "x")
    broken = [check for check in found["checks"] if check["name"][0] == "I" and not check["ok"]]
    assert broken == []
    assert found["figures"]["faults fired"] >= 2
    assert found["figures"]["speech.transcript.final"] >= 30


@pytest.mark.broker
def test_rights_taken_in_flight_halt_with_a_line_that_names_the_topic(tmp_path: Path) -> None:
    found = chaos("--minutes 0.2 --faults revoke", tmp_path / "x")
    assert [check for check in found["checks"] if check["name"][0] == "I" and not check["ok"]] == []
    assert found["figures"]["faults fired"] >= 1


@pytest.mark.broker
@pytest.mark.parametrize(
    ("mistake", "fault", "invariant"),
    [("commit-first", "kill-hung", "I3"), ("publish-first", "kill-end-answered", "I1")],
)
def test_a_mistake_is_caught(mistake: str, fault: str, invariant: str, tmp_path: Path) -> None:
    found = chaos(f"--minutes 0.3 --faults {fault} --broken {mistake}", tmp_path / "x")
    violations = {check["name"].split()[0]: check["value"] for check in found["checks"]}
    assert violations[invariant] > 0


@pytest.mark.parametrize("line", ["--faults meteor", "--brokers 2", "--broken sleep-first"])
def test_a_wrong_argument_is_told(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["chaos", *line.split()])
    assert done.value.code == 2
    assert line.split()[1] in capsys.readouterr().err
