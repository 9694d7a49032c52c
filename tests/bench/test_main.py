from __future__ import annotations

import pytest

from bench.__main__ import BENCHES, main


def test_help_lists_every_bench(capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in BENCHES)


def test_an_unknown_bench_is_a_usage_error_that_lists_the_benches(
    capsys: pytest.CaptureFixture[str],
):
    assert main(["speed"]) == 2
    assert "'speed'" in (shown := capsys.readouterr().err)
    assert all(name in shown for name in BENCHES)


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_has_a_help_text(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        main([name, "--help"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert f"python -m bench {name}" in shown
    assert "--json FILE" in shown


@pytest.mark.parametrize(
    "line",
    [
        "borders --offsets 0",
        "engine --peers none",
        "engine --figures speed,nothing",
        "engine --word-times maybe",
        "engine --batch 0",
        "engine --languages de",
        "engine --data no/such/folder",
        "engine --json no/such/folder/x.json",
        "fold --break everything",
        "gpu --shape huge",
        "host --parts nothing",
        "gpu --utterance-s nan",
        "soak --minutes 0",
    ],
)
def test_a_wrong_argument_is_reported_before_anything_is_measured(
    line: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as done:
        main(line.split())
    assert done.value.code == 2
    assert line.split()[1] in capsys.readouterr().err


def test_unknown_weights_are_reported_in_one_line(capsys: pytest.CaptureFixture[str]):
    assert main(["fold", "--model", "no-such-weights"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("bench: no weights are called 'no-such-weights'")
    assert shown.count("\n") == 1
