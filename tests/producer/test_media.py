"""Files, pipes and standard input: read to the last sample, or the second is reported."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from containers import (
    FORMATS,
    NO_LENGTHS,
    SAMPLES,
    encode,
    encode_by_ffmpeg,
    id3v1,
    id3v2,
    speech,
    wav,
    without_info,
)

from producer.errors import MediaError
from producer.formats import AudioFormat, Float32Array
from producer.media import AudioInput, FileSource, PipeSource, open_file, open_input
from schemas.audio import AudioCodec

RNG = np.random.default_rng(7)
JFK, RATE = speech(seconds=3.0)
RAW = AudioFormat(16_000, 1)
MP3_DELAY_S = 0.16  # of each recording: what encoders add
TURNS = asyncio.Semaphore(8)


async def read(source: AudioInput, stop: asyncio.Event | None = None) -> Float32Array:
    async with source.open(stop or asyncio.Event()) as audio:
        blocks = [block async for block in audio.blocks]
        return np.concatenate([np.empty((0, audio.format.channels), np.float32), *blocks])


async def read_until_error(source: AudioInput) -> tuple[Float32Array, str]:
    blocks: list[Float32Array] = []

    async def read_all() -> None:
        async with source.open(asyncio.Event()) as audio:
            async for block in audio.blocks:
                blocks.append(block)  # noqa: PERF401 -- those before the error are needed

    with pytest.raises(MediaError) as error:
        await read_all()
    return np.concatenate(blocks), str(error.value)


def file_of(path: Path, data: bytes) -> FileSource:
    path.write_bytes(data)
    return open_file(path, TURNS)


@contextmanager
def pipe_of(data: bytes) -> Iterator[int]:
    """Yield the reading end of a pipe into which the data is written."""

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)

    reading, writing = os.pipe()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield reading
    finally:
        os.close(reading)
        writer.join()


async def read_pipe(data: bytes) -> Float32Array:
    with pipe_of(data) as descriptor:
        return await read(open_input(Path(f"/dev/fd/{descriptor}"), TURNS))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
async def test_a_file_is_read_in_blocks_without_conversion(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"speech.{suffix}"
    soundfile.write(path, RNG.uniform(-0.5, 0.5, (22_050 * 2 + 17, 2)), 22_050)
    source = open_file(path, TURNS)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert source.seconds == pytest.approx(len(expected) / 22_050, abs=0.06)
    # Decoders of lossy formats differ in rounding.
    np.testing.assert_allclose(await read(source), expected, atol=1e-3 * (suffix in {"ogg", "mp3"}))


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW"])
async def test_each_sample_format_keeps_its_scale(
    tmp_path: Path, channels: int, subtype: str
) -> None:
    path = tmp_path / "any.wav"
    soundfile.write(path, RNG.uniform(-1, 1, (900, channels)), 8_000, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(await read(open_file(path, TURNS)), expected)


async def test_reading_a_file_ends_on_stop(tmp_path: Path) -> None:
    stop = asyncio.Event()
    source = file_of(tmp_path / "long.wav", wav(bytes(160_000), 8_000))
    async with source.open(stop) as audio:
        assert len(await anext(audio.blocks))
        stop.set()
        assert [block async for block in audio.blocks] == []


def test_a_file_without_audio_is_reported_with_the_reason(tmp_path: Path) -> None:
    text, empty, silent = tmp_path / "notes.txt", tmp_path / "empty.mp3", tmp_path / "silent.wav"
    text.write_text("no audio")
    empty.touch()
    silent.write_bytes(wav(b"", 8_000) + b"LIST\4\0\0\0INFO")
    for path, reason in [
        (tmp_path, r"is a folder: name the files in it, as in .*/\*\.wav"),
        (tmp_path / "missing.wav", "No such file"),
        (text, "cannot be read as audio"),
        (empty, "is empty: check"),
        (silent, "contains no audio"),
    ]:
        with pytest.raises(MediaError, match=rf"^{path}: {reason}"):
            open_input(path, TURNS)


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "speech.flac").write_bytes((SAMPLES / "en_jfk.flac").read_bytes())
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:11\n#EXTINF:11,\nfile:{tmp_path}/speech.flac\n"
    )
    with pytest.raises(MediaError):
        open_file(playlist, TURNS)


@pytest.mark.parametrize("codec", [*FORMATS, "aac", "webm"])
async def test_joined_recordings_are_read_to_the_last_sample(
    tmp_path: Path, codec: AudioCodec | str
) -> None:
    if isinstance(codec, AudioCodec):
        parts = [encode(codec, part, RATE) for part in np.split(JFK, [RATE])]
    else:
        name, container = {"aac": ("aac", "adts"), "webm": ("libopus", "webm")}[codec]
        parts = [encode_by_ffmpeg(part, RATE, name, container) for part in np.split(JFK, [RATE])]
    samples = await read(file_of(tmp_path / "joined", b"".join(parts)))
    rate = 48_000 if codec in {"webm", AudioCodec.OPUS} else RATE
    assert 0 <= len(samples) / rate - 3.0 <= 2 * MP3_DELAY_S
    if codec in {AudioCodec.FLAC, AudioCodec.WAV}:
        np.testing.assert_array_equal(samples[:, 0] * 32_768, JFK)
        np.testing.assert_array_equal(await read_pipe(b"".join(parts)), samples)


async def test_joined_wavs_of_other_formats_are_converted_to_the_first(tmp_path: Path) -> None:
    stereo = np.repeat(JFK[:, None], 2, axis=1)
    other = encode(AudioCodec.WAV, stereo[::2], RATE // 2)
    samples = await read(file_of(tmp_path / "a.wav", encode(AudioCodec.WAV, JFK, RATE) + other))
    assert samples.shape == (pytest.approx(2 * len(JFK), abs=64), 1)


@pytest.mark.parametrize("between", [b"", id3v1() + id3v2(50_000)])
async def test_mp3_with_tags_or_without_the_first_frame(tmp_path: Path, between: bytes) -> None:
    mp3 = encode(AudioCodec.MP3, JFK, RATE)
    for first in (mp3, without_info(mp3)):
        samples = await read(file_of(tmp_path / "a.mp3", between[128:] + first + between + mp3))
        assert 0 <= len(samples) / RATE - 6.0 <= 2 * MP3_DELAY_S


@pytest.mark.parametrize("stated", NO_LENGTHS)
async def test_a_wav_without_length_is_read_to_its_end(tmp_path: Path, stated: int) -> None:
    data = wav(JFK.tobytes(), RATE, length=stated)
    samples = await read(file_of(tmp_path / "a.wav", data))
    np.testing.assert_array_equal(samples[:, 0] * 32_768, JFK)
    np.testing.assert_array_equal(await read_pipe(data), samples)


async def test_a_flac_file_of_unknown_length_is_read(tmp_path: Path) -> None:
    flac = bytearray(encode(AudioCodec.FLAC, JFK, RATE))
    flac[21:26] = bytes([flac[21] & 0xF0, 0, 0, 0, 0])  # STREAMINFO: the number of samples
    source = file_of(tmp_path / "piped.flac", bytes(flac))
    assert source.seconds is None
    np.testing.assert_array_equal((await read(source))[:, 0] * 32_768, JFK)


@pytest.mark.parametrize("container", ["ipod", "matroska", "mpegts"])
async def test_other_containers_are_read(tmp_path: Path, container: str) -> None:
    data = encode_by_ffmpeg(JFK, RATE, "aac", container)
    samples = await read(file_of(tmp_path / "talk", data))
    assert len(samples) / RATE == pytest.approx(3.0, abs=0.2)
    np.testing.assert_array_equal(await read_pipe(data), samples)


@pytest.mark.parametrize("codec", [*FORMATS, "ipod", "matroska"])
async def test_a_cut_file_is_read_up_to_there_and_reported(
    tmp_path: Path, codec: AudioCodec | str
) -> None:
    if isinstance(codec, AudioCodec):
        data = encode(codec, JFK, RATE)
    else:
        options = {"movflags": "+faststart"} if codec == "ipod" else {}
        path = tmp_path / "whole"
        path.write_bytes(encode_by_ffmpeg(JFK, RATE, "aac", codec))
        data = fast_start(path) if options else path.read_bytes()
    source = file_of(tmp_path / "cut", data[: len(data) * 2 // 3])
    samples, message = await read_until_error(source)
    seconds = len(samples) / (48_000 if codec is AudioCodec.OPUS else RATE)
    assert 0.9 < seconds < 2.5
    assert f"cut: stopped at {seconds:.1f} s" in message
    assert "try again" in message


async def test_damage_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    data = bytearray(encode_by_ffmpeg(JFK, RATE, "aac", "adts"))
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    samples, message = await read_until_error(file_of(tmp_path / "a.aac", bytes(data)))
    assert len(samples) / RATE > 2.5
    assert "damaged at 1." in message


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
async def test_samples_that_are_not_finite_are_silence_and_reported(
    tmp_path: Path, wrong: float
) -> None:
    path = tmp_path / "nan.wav"
    values = RNG.uniform(-1, 1, 24_000).astype(np.float32)
    values[[8_000, 16_000]] = wrong
    soundfile.write(path, values, 8_000, subtype="FLOAT")
    samples, message = await read_until_error(open_file(path, TURNS))
    values[[8_000, 16_000]] = 0.0
    np.testing.assert_array_equal(samples[:, 0], values)
    assert "not finite numbers, the first at 1.0 s" in message
    assert "try again" in message


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("AIFF", "GSM610"), ("AIFF", "IMA_ADPCM"), ("W64", "MS_ADPCM"), ("W64", "ALAW")],
)
async def test_compressed_samples_in_containers_of_pcm_are_complete(
    tmp_path: Path, container: str, subtype: str
) -> None:
    path = tmp_path / "talk"
    soundfile.write(path, JFK[::2] / 32_768, RATE // 2, format=container, subtype=subtype)
    samples = await read(open_file(path, TURNS))
    assert len(samples) == pytest.approx(len(JFK) / 2, abs=512)


async def test_of_several_tracks_one_is_read_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "two.mka"
    with av.open(str(path), "w", format="matroska") as file:
        for language in ("eng", "deu"):
            track = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
            track.metadata["language"] = language
        for n, samples in enumerate((JFK, np.zeros_like(JFK))):
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
            frame.sample_rate = RATE
            file.mux(file.streams.audio[n].encode(frame))
    with pipe_of(path.read_bytes()) as descriptor:
        for source in (open_file(path, TURNS), open_input(Path(f"/dev/fd/{descriptor}"), TURNS)):
            async with source.open(asyncio.Event()) as audio:
                blocks = [block async for block in audio.blocks]
            np.testing.assert_array_equal(np.concatenate(blocks)[:, 0] * 32_768, JFK)
            assert audio.warning is not None
            assert "has 2 audio tracks (eng, deu): only number 0 is read" in audio.warning


@pytest.mark.parametrize("length", [0, None])
async def test_a_file_that_grows_while_it_is_read_is_reported(
    tmp_path: Path, length: int | None
) -> None:
    path = tmp_path / "recording.wav"
    source = file_of(path, wav(JFK.tobytes(), RATE, length=length))
    with path.open("ab") as file:
        file.write(JFK.tobytes())
    samples, message = await read_until_error(source)
    assert len(samples) == (len(JFK) if length is None else 2 * len(JFK))
    assert "was still being written" in message
    assert f"tail -c +1 -f {path} | streamscribe publish -" in message


async def test_only_as_many_files_as_allowed_are_open_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(JFK.tobytes(), RATE))
    first, second = (open_file(path, turns) for turns in [asyncio.Semaphore(1)] for _ in range(2))
    async with first.open(asyncio.Event()):
        waiting = asyncio.ensure_future(read(second))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
    assert len(await waiting) == len(JFK)


# --- pipes


@contextmanager
def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> Iterator[None]:
    """Make standard input a pipe into which the data is written."""
    with pipe_of(data) as descriptor, os.fdopen(os.dup(descriptor)) as file:
        monkeypatch.setattr("sys.stdin", file)
        yield


@pytest.mark.parametrize("codec", [*FORMATS, "ipod"])
async def test_a_container_on_standard_input_is_read_as_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, codec: AudioCodec | str
) -> None:
    if isinstance(codec, AudioCodec):
        data = encode(codec, JFK, RATE)
    else:
        data = encode_by_ffmpeg(JFK, RATE, "aac", codec)
    with standard_input(monkeypatch, data):
        samples = await read(PipeSource(None, RAW))
    np.testing.assert_array_equal(samples, await read(file_of(tmp_path / "a", data)))


async def test_a_named_pipe_is_read_as_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pipe.flac"
    os.mkfifo(path)
    source = open_input(path, TURNS)
    data = encode(AudioCodec.FLAC, JFK, RATE)
    writer = threading.Thread(target=lambda: path.write_bytes(data))
    writer.start()
    np.testing.assert_array_equal((await read(source))[:, 0] * 32_768, JFK)
    writer.join()


async def test_a_pipe_that_holds_no_audio_is_an_error() -> None:
    with pytest.raises(MediaError, match=r"^/dev/fd/\d+: cannot be read as audio"):
        await read_pipe(b"no audio")


async def test_a_cut_container_in_a_pipe_is_reported() -> None:
    data = encode(AudioCodec.WAV, JFK, RATE)[:-RATE]
    with pipe_of(data) as descriptor:
        samples, message = await read_until_error(open_input(Path(f"/dev/fd/{descriptor}"), TURNS))
    assert len(samples) == len(JFK) - RATE // 2
    assert "stopped at 2.5 s" in message


async def test_live_audio_in_a_container_is_read_as_it_arrives() -> None:
    reading, writing = os.pipe()
    pcm = JFK.tobytes()
    os.write(writing, wav(pcm[:6_400], RATE, length=0xFFFF_FFFF))
    source = open_input(Path(f"/dev/fd/{reading}"), TURNS)
    async with source.open(asyncio.Event()) as audio:
        samples = len(await anext(audio.blocks))
        while samples < 3_200:
            samples += len(await anext(audio.blocks))
        os.write(writing, pcm[6_400:9_600])
        os.close(writing)
        samples += sum([len(block) async for block in audio.blocks])
    os.close(reading)
    assert samples == 4_800


@pytest.mark.parametrize("channels", [1, 2])
async def test_standard_input_may_be_raw_pcm(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    samples = RNG.integers(-32_768, 32_767, (5_000, channels), np.int16)
    with standard_input(monkeypatch, samples.tobytes()):
        samples_read = await read(PipeSource(None, AudioFormat(16_000, channels)))
    np.testing.assert_array_equal(samples_read * 32_768, samples)


async def test_standard_input_may_be_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "speech.raw"
    path.write_bytes(np.arange(5_000, dtype=np.int16).tobytes())
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        samples_read = await read(PipeSource(None, RAW))
    np.testing.assert_array_equal(samples_read[:, 0] * 32_768, np.arange(5_000))


async def test_an_incomplete_sample_at_the_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        standard_input(monkeypatch, b"\0\0\0"),
        pytest.raises(MediaError, match="ended within a sample"),
    ):
        await read(PipeSource(None, RAW))


async def test_a_closed_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(MediaError, match="closed"):
        await read(PipeSource(None, RAW))


@pytest.mark.parametrize("written", [b"", bytes(3_200)])
async def test_reading_a_silent_pipe_ends_on_stop(
    monkeypatch: pytest.MonkeyPatch, written: bytes
) -> None:
    reading, writing = os.pipe()
    os.write(writing, written)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    with os.fdopen(reading) as file, os.fdopen(writing, "wb"):
        monkeypatch.setattr("sys.stdin", file)
        samples = await read(PipeSource(None, RAW), stop)
    assert len(samples) in {0, len(written) // 2}


async def test_an_error_elsewhere_ends_a_silent_pipe() -> None:
    reading, writing = os.pipe()
    source = open_input(Path(f"/dev/fd/{reading}"), TURNS)
    task = asyncio.ensure_future(read(source))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.close(reading)
    os.close(writing)


def fast_start(path: Path) -> bytes:
    """Return the MP4 file with its index first."""
    moved = path.with_suffix(".moved.m4a")
    with (
        av.open(str(path)) as source,
        av.open(str(moved), "w", format="ipod", options={"movflags": "+faststart"}) as sink,
    ):
        stream = source.streams.audio[0]
        copy = sink.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                sink.mux(packet)
    return moved.read_bytes()
