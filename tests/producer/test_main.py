"""`streamscribe publish` with a real broker and real files: output, exit codes, errors."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from topic_records import read_topic

from devstack.kafka import LocalKafka
from devstack.ports import free_ports
from producer.__main__ import main
from producer.progress import Lines
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import decode_audio
from schemas.topics import Topics

SAMPLES = Path(__file__).parents[2] / "samples"
JFK, MOON, PHONE = (
    str(SAMPLES / f"{name}.flac") for name in ("en_jfk", "zh_aishell3_moon", "en_phone_call")
)
ReadStreams = Callable[[str], dict[str, list[AudioChunk]]]


@pytest.fixture
def streams(kafka: LocalKafka) -> ReadStreams:
    """Return a function that reads the chunks of each stream from a topic."""

    def read(topic: str) -> dict[str, list[AudioChunk]]:
        found: dict[str, list[AudioChunk]] = {}
        for record in asyncio.run(read_topic(kafka.bootstrap, topic)):
            chunk = decode_audio(record.key, record.value, record.headers)
            found.setdefault(chunk.stream_id, []).append(chunk)
        return found

    return read


@pytest.fixture
def default_hangup() -> Iterator[None]:
    """Undo a nohup of the test run, which child processes inherit."""
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, former)


def publish(kafka: LocalKafka, topics: Topics, *arguments: str) -> int:
    return main([*arguments, "--bootstrap", kafka.bootstrap, "--prefix", topics.prefix])


def test_every_sample_of_each_file_is_published(
    kafka: LocalKafka, topics: Topics, streams: ReadStreams, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(kafka, topics, "--fast", "--stream", "demo", JFK, MOON, PHONE) == 0
    published = streams(topics.audio_bulk)
    assert set(published) == {"demo-en_jfk", "demo-zh_aishell3_moon", "demo-en_phone_call"}
    assert streams(topics.audio) == {}
    for path in (JFK, MOON, PHONE):
        samples, rate = soundfile.read(path, dtype="int16")
        chunks = published[f"demo-{Path(path).stem}"]
        assert b"".join(chunk.payload for chunk in chunks) == samples.tobytes()
        assert {(chunk.rate, chunk.channels) for chunk in chunks} == {(rate, 1)}
        assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
        assert [chunk.start for chunk in chunks] == [rate // 10 * n for n in range(len(chunks))]
        assert [chunk.end for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    output = capsys.readouterr().out
    assert f"demo-en_jfk: {JFK} to {topics.audio_bulk}" in output
    assert "demo-en_jfk: 11.0 s in 111 records" in output


def test_real_time_records_have_their_capture_times(
    kafka: LocalKafka, topics: Topics, streams: ReadStreams, tmp_path: Path
) -> None:
    path = tmp_path / "talk (1).ogg"
    soundfile.write(path, np.zeros((5_000, 2)), 44_100)
    assert publish(kafka, topics, str(path), "--language", "zh", "--chunk-ms", "20") == 0
    ((stream_id, chunks),) = streams(topics.audio).items()
    assert re.fullmatch(r"talk-1-[0-9a-f]{6}", stream_id)
    assert chunks[0].options == StreamOptions(languages=("zh",))
    assert {chunk.options for chunk in chunks[1:]} == {StreamOptions()}
    first = chunks[0].captured_ms
    assert first is not None
    assert [chunk.captured_ms for chunk in chunks] == [first + 20 * n for n in range(6)]
    assert {chunk.channels for chunk in chunks} == {2}


def test_each_record_decodes_on_its_own(
    kafka: LocalKafka, topics: Topics, streams: ReadStreams
) -> None:
    for codec in ("flac", "opus"):
        arguments = ["--fast", "--codec", codec, "--stream", codec, MOON]
        assert publish(kafka, topics, *arguments) == 0
    published = streams(topics.audio_bulk)
    assert set(published) == {"flac", "opus"}
    for chunks in published.values():
        decoded = [
            soundfile.read(io.BytesIO(chunk.payload))[0] for chunk in chunks if chunk.payload
        ]
        assert sum(map(len, decoded)) == soundfile.info(MOON).frames


def test_standard_input_is_published_as_a_stream(
    kafka: LocalKafka,
    topics: Topics,
    streams: ReadStreams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = np.arange(1_000, dtype=np.int16)
    path = tmp_path / "raw"
    path.write_bytes(samples.tobytes())
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert publish(kafka, topics, "-", "--stream", "desk-1", "--rate", "8000") == 0
    chunks = streams(topics.audio)["desk-1"]
    assert b"".join(chunk.payload for chunk in chunks) == samples.tobytes()
    assert chunks[0].rate == 8_000
    assert chunks[-1].end


@pytest.mark.usefixtures("default_hangup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_open_streams_with_an_end_record(
    kafka: LocalKafka, topics: Topics, streams: ReadStreams, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "streamscribe", "publish", "-", "--stream", "desk-1"]
    command += ["--bootstrap", kafka.bootstrap, "--prefix", topics.prefix]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.write(process.stdin.fileno(), bytes(6_400))
        assert process.stdout.readline().startswith("desk-1: standard input")
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert process.stderr is not None
        assert process.stderr.read() == ""
    chunks = streams(topics.audio).get("desk-1", [])
    # The signal may arrive before the first sample: then there is no stream to end.
    assert [chunk.end for chunk in chunks] == [False] * (len(chunks) - 1) + [True] * bool(chunks)


@pytest.mark.usefixtures("default_hangup")
def test_a_closed_terminal_ends_open_streams_with_an_end_record(
    kafka: LocalKafka, topics: Topics, streams: ReadStreams, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(8_000 * 60), 8_000)
    command = [sys.executable, "-m", "streamscribe", "publish", str(path), "--stream", "desk-1"]
    command += ["--bootstrap", kafka.bootstrap, "--prefix", topics.prefix]
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, command)
    while b"desk-1" not in os.read(terminal, 4_096):
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    chunks = streams(topics.audio).get("desk-1", [])
    assert [chunk.end for chunk in chunks] == [False] * (len(chunks) - 1) + [True] * bool(chunks)


def test_hangups_are_ignored_with_nohup(
    kafka: LocalKafka, topics: Topics, streams: ReadStreams
) -> None:
    command = ["nohup", sys.executable, "-m", "streamscribe", "publish", "-", "--stream", "night"]
    command += ["--bootstrap", kafka.bootstrap, "--prefix", topics.prefix]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.write(process.stdin.fileno(), bytes(3_200))
        assert process.stdout.readline().startswith(b"night: standard input")
        process.send_signal(signal.SIGHUP)
        process.communicate(bytes(3_200), timeout=30)
        assert process.returncode == 0
    chunks = streams(topics.audio)["night"]
    assert sum(len(chunk.payload) for chunk in chunks) == 6_400
    assert chunks[-1].end


def test_more_files_than_descriptors_are_published(
    kafka: LocalKafka, topics: Topics, streams: ReadStreams, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "0.flac", np.zeros(1_600, np.int16), 16_000)
    for n in range(1, 200):
        (tmp_path / f"{n}.flac").symlink_to(tmp_path / "0.flac")
    command = [sys.executable, "-m", "streamscribe", "publish", "--fast", "--stream", "many"]
    command += ["--bootstrap", kafka.bootstrap, "--prefix", topics.prefix]
    command += sorted(map(str, tmp_path.iterdir()))
    limited = ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", *command]
    result = subprocess.run(limited, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    published = streams(topics.audio_bulk)
    assert set(published) == {f"many-{n}" for n in range(200)}
    assert all(chunks[-1].end for chunks in published.values())


def test_pipes_are_published_as_files(
    kafka: LocalKafka, topics: Topics, streams: ReadStreams
) -> None:
    publishing = f"{sys.executable} -m streamscribe publish --fast --bootstrap {kafka.bootstrap}"
    publishing += f" --prefix {topics.prefix} --stream"
    for line in (
        f"cat {MOON} | {publishing} standard-input -",
        f"cat {MOON} | {publishing} device /dev/stdin",
        f"{publishing} substitution <(cat {MOON})",
    ):
        result = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False
        )
        assert (result.returncode, result.stderr) == (0, "")
    samples, _ = soundfile.read(MOON, dtype="int16")
    published = streams(topics.audio_bulk)
    assert set(published) == {"standard-input", "device", "substitution"}
    for chunks in published.values():
        assert b"".join(chunk.payload for chunk in chunks) == samples.tobytes()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_any_file_name_is_printed_on_one_line_and_has_its_own_id(
    kafka: LocalKafka, topics: Topics, streams: ReadStreams, tmp_path: Path, encoding: str
) -> None:
    # No UTF-8, a line break, an escape sequence, other scripts, no allowed character, long.
    names = [
        b"\xe9t\xe9",
        b"a\nb",
        b"\x1b[31mred",
        "\u4f1a\u8bae".encode(),
        b"()",
        b"-x",
        b"n" * 250,
    ]
    paths = [tmp_path / os.fsdecode(name + b".flac") for name in names]
    for path in paths:
        path.symlink_to(MOON)
    absent = tmp_path / os.fsdecode(b"\xe9\n.flac")
    command = [sys.executable, "-m", "streamscribe", "publish", "--fast", "--stream", "run"]
    command += ["--bootstrap", kafka.bootstrap, "--prefix", topics.prefix]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    run = partial(subprocess.run, capture_output=True, env=environment, timeout=60, check=False)
    done = run([*command, "--", *paths])
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode(encoding).splitlines()
    assert len(lines) == 2 * len(names)
    assert all(map(str.isprintable, lines))
    assert len(streams(topics.audio_bulk)) == len(names)
    failed = run([*command, "--", absent])
    (line,) = failed.stderr.decode(encoding).splitlines()
    assert r"/\udce9\n.flac: No such file" in line


def test_unreadable_inputs_are_reported_and_the_others_published(
    kafka: LocalKafka,
    topics: Topics,
    streams: ReadStreams,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    text, empty, broken = tmp_path / "notes.wav", tmp_path / "empty.mp3", tmp_path / "broken.wav"
    text.write_text("no audio")
    empty.touch()
    broken.symlink_to(tmp_path / "no.wav")
    unreadable = [str(path) for path in (tmp_path, text, empty, broken)]
    assert publish(kafka, topics, "--fast", "--stream", "run", *unreadable, MOON) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["streamscribe publish"] * 4
    reasons = ("is a folder", "cannot be read as audio", "is empty", "No such file")
    assert all(reason in line for reason, line in zip(reasons, lines, strict=True))
    # The id is that of one of several.
    assert list(streams(topics.audio_bulk)) == ["run-zh_aishell3_moon"]


def test_without_a_readable_input_kafka_is_not_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([str(tmp_path / "no.wav"), "--bootstrap", "localhost:1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no.wav: No such file" in line


def test_a_file_that_disappears_before_its_turn_is_reported(
    kafka: LocalKafka,
    topics: Topics,
    streams: ReadStreams,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "gone.wav"
    soundfile.write(path, np.zeros(8_000), 8_000)

    def unlink_once(topic: str) -> Lines:
        path.unlink()
        return Lines(topic)

    monkeypatch.setattr("producer.__main__.new_reporter", unlink_once)
    assert publish(kafka, topics, "--fast", "--stream", "run", str(path), MOON) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "gone.wav: No such file or directory (stream run-gone)" in line
    assert list(streams(topics.audio_bulk)) == ["run-zh_aishell3_moon"]


def test_a_truncated_file_is_published_up_to_the_error(
    kafka: LocalKafka,
    topics: Topics,
    streams: ReadStreams,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    path = tmp_path / "cut.flac"
    path.write_bytes(Path(JFK).read_bytes()[:100_000])
    assert publish(kafka, topics, "--fast", "--stream", "run", str(path), MOON) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"cut\.flac: stopped at \d\.\d s .* try again", line)
    published = streams(topics.audio_bulk)
    samples, _ = soundfile.read(JFK, dtype="int16")
    received = b"".join(chunk.payload for chunk in published["run-cut"])
    assert received
    assert samples.tobytes().startswith(received)
    assert published["run-cut"][-1].end
    assert published["run-zh_aishell3_moon"][-1].end


def test_an_absent_broker_is_a_one_line_error(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    assert main([JFK, "--bootstrap", f"localhost:{port}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("streamscribe publish: no answer from Kafka at localhost")
    assert "--bootstrap" in line


def test_standard_input_may_be_named_only_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-", "-"]) == 2
    assert "only once" in capsys.readouterr().err
