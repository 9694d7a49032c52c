from __future__ import annotations

import pytest

from bench.__main__ import BENCHES, main
from streamscribe.cli import load


def test_help_names_every_bench(capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in BENCHES)


def test_an_unknown_bench_is_a_usage_error_that_names_those_there_are(
    capsys: pytest.CaptureFixture[str],
):
    assert main(["speed"]) == 2
    assert "'speed'" in (told := capsys.readouterr().err)
    assert all(name in told for name in BENCHES)


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_says_how_it_is_used(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        load(BENCHES[name])(["--help"])
    assert done.value.code == 0
    told = capsys.readouterr().out
    assert f"python -m bench {name}" in told
    assert "--json FILE" in told


@pytest.mark.parametrize(
    "line",
    [
        "engine --peers nobody",
        "engine --figures speed,nothing",
        "engine --word-times maybe",
        "engine --batch 0",
        "engine --languages de",
        "engine --data no/such/folder",
        "engine --json no/such/folder/x.json",
        "fold --break everything",
        "gpu --shape huge",
        "gpu --utterance-s nan",
        "soak --minutes 0",
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_measured(
    line: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as done:
        main(line.split())
    assert done.value.code == 2
    assert line.split()[1] in capsys.readouterr().err


def test_weights_that_nobody_knows_are_one_line(capsys: pytest.CaptureFixture[str]):
    assert main(["fold", "--model", "no-such-weights"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("bench: no weights are called 'no-such-weights'")
    assert told.count("\n") == 1
