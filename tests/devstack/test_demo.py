from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from watchdogs import watched

from devstack.demo import main
from evaluation.samples import load_samples


@contextmanager
def demo(*argv: str) -> Iterator[subprocess.Popen[str]]:
    """Run `streamscribe demo` as a child process, which is killed at the end if it still runs."""
    command = [sys.executable, "-m", "streamscribe", "demo", *argv]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.broker
@pytest.mark.whisper
def test_all_samples_are_transcribed_within_the_error_limits(tmp_path: Path):
    file = tmp_path / "demo.json"
    with demo("--json", str(file)) as process:
        printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, printed + errors
    report = json.loads(file.read_text("utf-8"))
    assert set(report["figures"]["streams"]) == {sample.stream_id for sample in load_samples()}
    assert all(stream["ended"] for stream in report["figures"]["streams"].values())
    assert all(stream["finals"] for stream in report["figures"]["streams"].values())
    failed = [check for check in report["checks"] if not check["ok"]]
    assert all("p95" in check["name"] for check in failed), failed
    assert "country" in printed
    assert "月球" in printed
    assert watched(process.pid) == []


@pytest.mark.broker
def test_ctrl_c_stops_all_processes():
    with demo() as process:
        assert process.stdout
        while not process.stdout.readline().startswith("topics"):
            assert process.poll() is None, process.communicate()
        assert watched(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert watched(process.pid) == []


def test_unknown_weights_are_a_one_line_error(capsys: pytest.CaptureFixture[str]):
    assert main(["--model", "colossal"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("streamscribe demo: no weights are called 'colossal'")


def test_an_unwritable_file_is_reported_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as raised:
        main(["--json", str(tmp_path)])
    assert raised.value.code == 2
    assert f"{tmp_path}: Is a directory" in capsys.readouterr().err
