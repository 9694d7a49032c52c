"""The command in short: real broker, real worker, the peer beside it, a few seconds of speech."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from watchdogs import watched

from bench.__main__ import main
from evaluation.samples import SAMPLES


@pytest.mark.broker
def test_ours_beside_the_naive_peer(tmp_path: Path, tiny_en_weights: Path):
    told = tmp_path / "told.json"
    line = "live --streams 2 --minutes 0.1 --pace 2 --warm-up-s 0 --acts talk --partials on"
    where = ["--data", str(SAMPLES), "--model", str(tiny_en_weights), "--json", str(told)]
    assert main([*line.split(), "--peer", "naive", *where]) == 0
    found = json.loads(told.read_text("utf-8"))
    figures = found["figures"]
    for name in ("streamscribe", "naive"):
        assert figures[f"{name}.talk.latencies"] >= 2
        assert figures[f"{name}.talk.clips_missed"] == 0
        assert figures[f"{name}.talk.latency_p50_s"] > 0.25  # the wait for more, at twice the pace
        assert figures[f"{name}.talk.cpu_s_per_stream_s"] > 0
        assert figures[f"{name}.talk.en.wer_percent"] < 50
    assert figures["streamscribe.talk.partials"] > 0
    assert figures["streamscribe.talk.trace.publish_p50_s"] > 0
    assert 0 < figures["streamscribe.talk.most_lag_s"] < 60
    assert figures["streamscribe.talk.most_resident_mb"] > 100
    assert figures["naive.talk.most_lag_s"] is None
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["stable text taken back"]["ok"]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, tiny_en_weights: Path):
    line = "-m bench live --streams 1 --minutes 5 --acts talk"
    where = ["--data", str(SAMPLES), "--model", str(tiny_en_weights)]
    command = [sys.executable, *line.split(), *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout
        try:
            while not it.stdout.readline().lstrip().startswith("seed"):
                assert it.poll() is None, it.communicate()
            while not watched(it.pid, "streamscribe worker"):
                assert it.poll() is None, it.communicate()
            it.send_signal(signal.SIGINT)
            _, errors = it.communicate(timeout=60)
        finally:
            it.kill()
    assert (it.returncode, errors) == (130, "")
    assert watched(it.pid) == []


@pytest.mark.parametrize(
    "line", ["--partials maybe", "--acts dance", "--peer nobody", "--streams 0", "--pace 0"]
)
def test_a_wrong_argument_is_told(line: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        main(["live", *line.split()])
    assert done.value.code == 2
    assert line.split()[1] in capsys.readouterr().err
