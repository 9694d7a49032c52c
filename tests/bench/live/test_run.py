"""The command on a real broker with real workers, for a few seconds of speech."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from watchdogs import watched

from bench.framework import measure
from bench.quality.recordings import read
from consumer.core.audio.utterance import WHISPER_RATE
from evaluation.samples import SAMPLES


@pytest.fixture
def short_clip(tmp_path: Path) -> Path:
    """A folder with the first 5 s of a clip, up to a pause."""
    samples = read(SAMPLES / "en_jfk.flac")[: 5 * WHISPER_RATE]
    soundfile.write(tmp_path / "clip.flac", samples, WHISPER_RATE)
    text = "And so, my fellow Americans, ask not"
    entry = {"file": "clip.flac", "text": text, "lang": "en", "seconds": 5.0}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(entry), "utf-8")
    return tmp_path


@pytest.mark.broker
def test_streamscribe_and_the_baseline_are_measured(
    run_bench: Callable[..., Any], short_clip: Path, tiny_en_weights: Path
):
    line = "--streams 2 --minutes 0.03 --warm-up-s 0 --scenarios talk --partials on"
    measured = run_bench(f"live {line} --peer baseline", data=short_clip, model=tiny_en_weights)
    figures = measured["figures"]
    for name in ("streamscribe", "baseline"):
        assert figures[f"{name}.talk.latencies"] >= 2
        assert figures[f"{name}.talk.clips_missed"] == 0
        assert figures[f"{name}.talk.latency_p50_s"] > 0.45  # with the wait for more speech
        assert figures[f"{name}.talk.cpu_s_per_stream_s"] > 0
        assert figures[f"{name}.talk.en.wer_percent"] < 50
    assert figures["streamscribe.talk.partials"] > 0
    assert figures["streamscribe.talk.trace.publish_p50_s"] > 0
    assert 0 < figures["streamscribe.talk.most_lag_s"] < 60
    assert figures["streamscribe.talk.most_resident_mb"] > 100
    assert figures["baseline.talk.most_lag_s"] is None
    checks = {check["name"]: check for check in measured["checks"]}
    assert checks["stable text taken back"]["ok"]


@pytest.mark.broker
def test_ctrl_c_ends_all_processes(tmp_path: Path, tiny_en_weights: Path):
    line = "-m bench live --streams 1 --minutes 5 --scenarios talk"
    where = ["--data", str(SAMPLES), "--model", str(tiny_en_weights)]
    command = [sys.executable, *line.split(), *where]
    environ = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as bench:
        assert bench.stdout
        try:
            while not bench.stdout.readline().startswith("streamscribe: starting"):
                assert bench.poll() is None, bench.communicate()
            while not watched(bench.pid, "streamscribe worker"):
                assert bench.poll() is None, bench.communicate()
            bench.send_signal(signal.SIGINT)
            _, errors = bench.communicate(timeout=60)
        finally:
            bench.kill()
    assert (bench.returncode, errors) == (130, "")
    assert watched(bench.pid) == []
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "line",
    [
        "--partials maybe",
        "--scenarios dance",
        "--peer unknown",
        "--streams 0",
        "--pace 0",
    ],
)
def test_a_wrong_argument_is_named(line: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        measure("live", "bench.live.run", line.split())
    assert exit_.value.code == 2
    assert line.split()[1] in capsys.readouterr().err
