"""The command as a process, with real Whisper: files as people have them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from containers import SAMPLES, speech

from offline.__main__ import main
from offline.done_files import LIST_NAME

JFK = SAMPLES / "en_jfk.flac"
FORMATS = ("txt", "srt", "vtt", "json", "jsonl", "tsv")
COMMAND = (sys.executable, "-m", "streamscribe", "transcribe")


def environment(weights: Path) -> dict[str, str]:
    return os.environ | {"STREAMSCRIBE_MODEL": str(weights), "COLUMNS": "200"}


def transcribe(
    weights: Path, *arguments: str | Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, env=environment(weights), check=False
    )


def video(path: Path) -> None:
    """Write an MP4 of a black picture and the speech of a sample."""
    samples, rate = speech()
    with av.open(path, "w") as sink:
        picture = sink.add_stream("mpeg4", rate=5, width=64, height=48)
        sound = sink.add_stream("aac", rate=rate, layout="mono")
        for number in range(5 * len(samples) // rate):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            sink.mux(picture.encode(frame))
        audio = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
        audio.sample_rate = rate
        sink.mux(sound.encode(audio))
        sink.mux([*picture.encode(None), *sound.encode(None)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a video, a sample, and files that cannot be read, in whole or in part."""
    calls = tmp_path / "calls"
    (calls / "deep").mkdir(parents=True)
    video(calls / "talk.mp4")
    (calls / "deep/talk.flac").write_bytes((SAMPLES / "en_ljspeech.flac").read_bytes())
    (calls / "notes.wav").write_text("no audio")
    (calls / "empty.mp3").touch()
    wav = io.BytesIO()
    soundfile.write(wav, *speech(), format="WAV")
    (calls / "cut.wav").write_bytes(wav.getvalue()[: len(wav.getvalue()) // 2])
    return calls


def test_a_folder_is_transcribed_and_what_cannot_be_is_listed(
    folder: Path, tmp_path: Path, tiny_en_weights: Path
):
    out = tmp_path / "out"
    arguments = (folder, "--out", out, "--format", ",".join(FORMATS), "--language", "en")
    done = transcribe(tiny_en_weights, *arguments)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1, lines
    names = {str(path.relative_to(out)) for path in out.rglob("*.*") if path.name != LIST_NAME}
    assert names == {f"{stem}.{end}" for stem in ("talk", "cut", "deep/talk") for end in FORMATS}
    for stem, words in (("talk", "your country can do"), ("cut", "fellow Americans")):
        assert words in (out / f"{stem}.txt").read_text()
    assert "printing" in (out / "deep/talk.srt").read_text()
    table = lines[lines.index(next(line for line in lines if line.startswith("file "))) :]
    assert {line.split()[0].rpartition("/")[2] for line in table[1:]} == {
        *("notes.wav", "empty.mp3", "cut.wav")
    }
    assert "2 files done, 3 failed or incomplete" in lines

    again = transcribe(tiny_en_weights, *arguments)
    assert again.returncode == 1
    assert "0 files done, 3 skipped, done before, 2 failed or incomplete" in again.stderr.decode()


def test_standard_input_is_transcribed_to_standard_output(tiny_en_weights: Path):
    done = transcribe(tiny_en_weights, "-", "--format", "srt", stdin=JFK.read_bytes())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"1\n00:00:0")
    assert b"country" in done.stdout


def test_ctrl_c_keeps_what_is_done_and_the_same_command_continues(
    tmp_path: Path, tiny_en_weights: Path
):
    samples, rate = speech()
    short, long = tmp_path / "short.flac", tmp_path / "long.flac"
    soundfile.write(short, samples, rate)
    soundfile.write(long, np.tile(samples, 90), rate)
    command = [*COMMAND, str(tmp_path)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment(tiny_en_weights)
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr)
        first = next(lines)
        process.send_signal(signal.SIGINT)
        rest = "".join(lines)
        assert process.wait() == 128 + signal.SIGINT, rest
    assert first.startswith(f"{short}: 11.0 s in ")
    assert "1 file done\ninterrupted: " in rest
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [LIST_NAME, "long.flac", "short.flac", "short.txt"]
    long.unlink()
    assert main([str(tmp_path)]) == 0  # nothing is left to do: no model is loaded


def test_files_of_others_are_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "a.wav").write_bytes(JFK.read_bytes())
    (tmp_path / "a.txt").write_text("my notes")
    assert main([str(tmp_path)]) == 1
    assert (tmp_path / "a.txt").read_text() == "my notes"
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "-"], "name it once"),
        (["-", "--format", "txt,srt"], "add --out"),
        (["a.wav", "--dtype", "int3"], "STREAMSCRIBE_DTYPE"),
    ],
)
def test_wrong_usage_is_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("streamscribe transcribe: ")
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["a.wav", "--format", "mp3"], "'mp3' is none of"), (["a.wav", "--language", "xx"], "'xx'")],
)
def test_wrong_arguments_are_rejected(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_missing_files_are_listed_without_loading_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main([str(tmp_path / "missing.wav"), str(tmp_path)]) == 1
    lines = capsys.readouterr().err
    assert "No such file" in lines
    assert "contains no audio or video file" in lines
