from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
import soundfile

from consumer.codecs import sandbox
from consumer.codecs.decode import decode
from consumer.codecs.sandbox import CodecSandbox
from schemas.audio import AudioCodec
from schemas.errors import Reason, WireError

TONE = (np.sin(np.arange(8_000) * 0.2) * 12_000).astype(np.int16)


def flac(channels: int = 1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.repeat(TONE[:, None], channels, axis=1), 16_000, format="FLAC")
    return file.getvalue()


@dataclass
class Watched:
    decoder: CodecSandbox
    crashes: list[None]

    @property
    def pid(self) -> int:
        assert self.decoder._process is not None
        return self.decoder._process.pid


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    crashes: list[None] = []
    async with CodecSandbox(lambda: crashes.append(None), answer_s=1.0) as decoder:
        decoder.decode(flac(), AudioCodec.FLAC, None, None)  # it has started
        yield Watched(decoder, crashes)


@pytest.mark.parametrize("channels", [1, 2])
async def test_it_decodes_as_the_decoders_do(watched: Watched, channels: int) -> None:
    found = watched.decoder.decode(flac(channels), AudioCodec.FLAC, None, None)
    wanted = decode(flac(channels), AudioCodec.FLAC, None, None)
    assert found.rate == wanted.rate
    assert np.array_equal(found.samples, wanted.samples)


async def test_it_refuses_as_the_decoders_do(watched: Watched) -> None:
    told = []
    for each in (watched.decoder.decode, decode):
        with pytest.raises(WireError) as refused:
            each(flac(), AudioCodec.MP3, None, None)
        told.append((refused.value.reason, str(refused.value)))
    assert told[0] == told[1]
    assert watched.crashes == []


async def test_raw_audio_needs_no_process(watched: Watched) -> None:
    os.kill(watched.pid, signal.SIGKILL)
    pcm = watched.decoder.decode(TONE.tobytes(), AudioCodec.PCM_S16LE, 16_000, 1)
    assert np.array_equal(pcm.samples[:, 0], TONE)
    assert watched.crashes == []


async def test_a_record_that_meets_a_dead_process_is_decoded_by_the_next(watched: Watched) -> None:
    os.kill(watched.pid, signal.SIGSEGV)
    pcm = watched.decoder.decode(flac(), AudioCodec.FLAC, None, None)
    assert np.array_equal(pcm.samples[:, 0], TONE)
    assert len(watched.crashes) == 1


async def test_a_record_that_hangs_its_decoder_is_refused_and_the_next_is_decoded(
    watched: Watched,
) -> None:
    os.kill(watched.pid, signal.SIGSTOP)
    with pytest.raises(WireError, match="could not cope") as refused:
        watched.decoder.decode(flac(), AudioCodec.FLAC, None, None)
    assert refused.value.reason == Reason.BAD_PAYLOAD
    watched.decoder.decode(flac(), AudioCodec.FLAC, None, None)
    assert len(watched.crashes) == 1


async def test_a_record_that_ends_two_processes_is_refused(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = partial(subprocess.Popen, [sys.executable, "-c", ""], stdin=PIPE, stdout=PIPE, bufsize=0)
    monkeypatch.setattr(sandbox, "_spawn", gone)
    os.kill(watched.pid, signal.SIGSEGV)
    with pytest.raises(WireError, match="the flac decoder could not cope with the payload"):
        watched.decoder.decode(flac(), AudioCodec.FLAC, None, None)
    assert len(watched.crashes) == 2


async def test_the_process_ends_with_its_owner() -> None:
    async with CodecSandbox() as decoder:
        process = decoder._process
        assert process is not None
    assert process.returncode is not None


async def test_what_once_ended_a_decoder_is_refused_and_ends_nobody_else(watched: Watched) -> None:
    payload = (Path(__file__).parent / "records" / "libsndfile-segfault.ogg").read_bytes()
    for _ in range(300):  # it ends it now and then
        with pytest.raises(WireError) as refused:
            watched.decoder.decode(payload, AudioCodec.VORBIS, None, None)
        assert refused.value.reason == Reason.BAD_PAYLOAD
    pcm = watched.decoder.decode(flac(), AudioCodec.FLAC, None, None)
    assert np.array_equal(pcm.samples[:, 0], TONE)
