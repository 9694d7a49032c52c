from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from producer.errors import MediaError
from producer.media import AudioFormat, AudioInput, Float32Array, StdinSource, open_file

RNG = np.random.default_rng(7)


async def read(source: AudioInput) -> Float32Array:
    return np.concatenate([block async for block in source.blocks(asyncio.Event())])


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
async def test_a_file_is_read_in_blocks_without_conversion(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"speech.{suffix}"
    soundfile.write(path, RNG.uniform(-0.5, 0.5, (22_050 * 2 + 17, 2)), 22_050)
    source = open_file(path)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert source.format == AudioFormat(22_050, 2)
    assert source.seconds == pytest.approx(len(expected) / 22_050)
    assert source.stem == "speech"
    # Decoders of lossy formats may round differently when read in blocks.
    np.testing.assert_allclose(await read(source), expected, atol=1e-6)


async def test_a_float_file_keeps_its_scale(tmp_path: Path) -> None:
    path = tmp_path / "float.wav"
    soundfile.write(path, np.full(800, 0.25, np.float32), 8_000, subtype="FLOAT")
    np.testing.assert_array_equal(await read(open_file(path)), np.full((800, 1), 0.25))


async def test_reading_a_file_ends_on_stop(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(80_000, np.int16), 8_000)
    stop = asyncio.Event()
    blocks = open_file(path).blocks(stop)
    assert len(await anext(blocks)) == 800
    stop.set()
    assert [block async for block in blocks] == []


def test_a_file_without_audio_is_reported_with_the_reason(tmp_path: Path) -> None:
    text, empty, silent = tmp_path / "notes.txt", tmp_path / "empty.wav", tmp_path / "silent.wav"
    text.write_text("no audio")
    empty.touch()
    soundfile.write(silent, np.zeros(0, np.int16), 8_000)
    for path, reason in [
        (tmp_path, r"is a folder: name the files in it, as in .*/\*\.wav"),
        (tmp_path / "missing.wav", "No such file"),
        (text, "cannot be read as audio"),
        (empty, "cannot be read as audio"),
        (silent, "contains no audio"),
    ]:
        with pytest.raises(MediaError, match=rf"^{path}: {reason}"):
            open_file(path)


async def test_a_truncated_file_is_read_up_to_the_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, RNG.integers(-9_000, 9_000, 160_000, np.int16), 16_000)
    path.write_bytes(path.read_bytes()[:150_000])
    blocks = open_file(path).blocks(asyncio.Event())
    for _ in range(10):
        assert len(await anext(blocks)) == 1_600
    with pytest.raises(MediaError, match=r"cut\.flac: cannot be read as audio"):
        [block async for block in blocks]


async def test_a_flac_file_of_unknown_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "piped.flac"
    samples = RNG.integers(-9_000, 9_000, 16_000, np.int16)
    soundfile.write(path, samples, 16_000)
    flac = bytearray(path.read_bytes())
    flac[21:26] = bytes([flac[21] & 0xF0, 0, 0, 0, 0])  # STREAMINFO: the number of samples
    path.write_bytes(flac)
    source = open_file(path)
    assert source.seconds is None
    np.testing.assert_array_equal((await read(source))[:, 0] * 32_768, samples)


async def test_samples_that_are_not_finite_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0.0, np.nan, 0.0], np.float32), 8_000, subtype="FLOAT")
    with pytest.raises(MediaError, match="not finite numbers"):
        await read(open_file(path))


def pipe_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Make standard input the reading end of a pipe with this data, whose other end is closed."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    monkeypatch.setattr("sys.stdin", os.fdopen(reading))


@pytest.mark.parametrize("channels", [1, 2])
async def test_standard_input_is_raw_pcm(monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    samples = RNG.integers(-32_768, 32_767, (5_000, channels), np.int16)
    pipe_stdin(monkeypatch, samples.tobytes())
    samples_read = await read(StdinSource(AudioFormat(16_000, channels)))
    np.testing.assert_array_equal(samples_read * 32_768, samples)


async def test_standard_input_may_be_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "speech.raw"
    path.write_bytes(np.arange(5_000, dtype=np.int16).tobytes())
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        samples_read = await read(StdinSource(AudioFormat(16_000, 1)))
    np.testing.assert_array_equal(samples_read[:, 0] * 32_768, np.arange(5_000))


async def test_an_incomplete_sample_at_the_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_stdin(monkeypatch, b"\0\0\0")
    with pytest.raises(MediaError, match="ended within a sample"):
        await read(StdinSource(AudioFormat(16_000, 1)))


async def test_a_closed_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(MediaError, match="closed"):
        await read(StdinSource(AudioFormat(16_000, 1)))


async def test_reading_a_pipe_without_data_ends_on_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr("sys.stdin", os.fdopen(reading))
    stop = asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    blocks = [block async for block in StdinSource(AudioFormat(16_000, 1)).blocks(stop)]
    os.close(writing)
    assert blocks == []
