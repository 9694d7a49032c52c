from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import scripted_codecs
import soundfile
from scripted_codecs import BABBLE, CRASH, HANG

from consumer.codecs import sandbox
from consumer.codecs.decode import decode
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.audio.samples import DecodedAudio
from schemas.audio import AudioCodec
from schemas.errors import Reason, WireError

TONE = (np.sin(np.arange(8_000) * 0.2) * 12_000).astype(np.int16)
PATIENT_S = 60.0  # no test waits for it
HURRIED_S = 0.5  # for what hangs: a decoder that works answers within it, or is tried no more


def flac(channels: int = 1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.repeat(TONE[:, None], channels, axis=1), 16_000, format="FLAC")
    return file.getvalue()


class Watched:
    """A sandbox whose processes do what payloads say, and its replaced processes."""

    def __init__(self, timeout_s: float) -> None:
        self.failures = 0
        self.sandbox = CodecSandbox(
            self._count, timeout_s=timeout_s, command=scripted_codecs.COMMAND
        )

    def _count(self) -> None:
        self.failures += 1

    async def decode(self, payload: bytes, codec: AudioCodec = AudioCodec.FLAC) -> DecodedAudio:
        return await self.sandbox.decode(payload, codec, None, None)

    async def works(self) -> bool:
        pcm = await self.decode(flac())
        return np.array_equal(pcm.samples[:, 0], TONE)


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched(PATIENT_S)
    async with watched.sandbox:
        yield watched


def children() -> set[int]:
    """Return the codec processes that this one has."""
    mine = {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text("ascii").split()
    }
    return {pid for pid in mine if b"codec" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@pytest.mark.parametrize("channels", [1, 2])
async def test_it_decodes_as_the_decoders_do(watched: Watched, channels: int) -> None:
    found = await watched.decode(flac(channels))
    wanted = decode(flac(channels), AudioCodec.FLAC, None, None)
    assert found.rate == wanted.rate
    assert np.array_equal(found.samples, wanted.samples)


async def test_it_rejects_as_the_decoders_do(watched: Watched) -> None:
    with pytest.raises(WireError) as direct:
        decode(flac(), AudioCodec.MP3, None, None)
    with pytest.raises(WireError) as sandboxed:
        await watched.decode(flac(), AudioCodec.MP3)
    assert sandboxed.value.reason == direct.value.reason
    assert str(sandboxed.value) == str(direct.value)
    assert watched.failures == 0


async def test_a_record_that_meets_a_dead_process_is_decoded_by_the_next(watched: Watched) -> None:
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    for _ in range(sandbox.PROCESSES):
        assert await watched.works()
    assert 1 <= watched.failures <= sandbox.PROCESSES


@pytest.mark.parametrize("payload", [CRASH, BABBLE])
async def test_a_record_that_ends_two_processes_is_rejected(
    watched: Watched, payload: bytes
) -> None:
    with pytest.raises(WireError, match="the flac decoder could not cope with the payload") as no:
        await watched.decode(payload)
    assert no.value.reason == Reason.BAD_PAYLOAD
    assert watched.failures == 2
    assert await watched.works()


async def test_a_record_that_hangs_its_decoder_is_rejected_and_the_next_is_decoded() -> None:
    watched = Watched(HURRIED_S)
    async with watched.sandbox:
        with pytest.raises(WireError, match="could not cope") as rejected:
            await watched.decode(HANG)
        assert rejected.value.reason == Reason.BAD_PAYLOAD
        assert watched.failures == 1


async def test_records_that_hang_delay_no_others(watched: Watched) -> None:
    """Not even where there are as many of them as processes: each gives its place back."""
    hanging = [asyncio.create_task(watched.decode(HANG)) for _ in range(sandbox.MAX_OVERDUE)]
    for _ in range(10):
        assert await watched.works()
    assert not any(task.done() for task in hanging)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert await watched.works()


async def test_the_event_loop_goes_on_while_a_decoder_hangs(watched: Watched) -> None:
    task = asyncio.create_task(watched.decode(HANG))
    turns = 0
    while turns < 1_000:
        await asyncio.sleep(0)
        turns += 1
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_processes_end_with_their_owner() -> None:
    before = children()
    async with CodecSandbox():
        assert len(children() - before) == sandbox.PROCESSES
    assert children() == before


async def test_what_once_ended_a_decoder_is_rejected_and_ends_nobody_else(
    watched: Watched,
) -> None:
    payload = (Path(__file__).parent / "records" / "libsndfile-segfault.ogg").read_bytes()
    for _ in range(300):  # it ends it now and then
        with pytest.raises(WireError) as rejected:
            await watched.decode(payload, AudioCodec.VORBIS)
        assert rejected.value.reason == Reason.BAD_PAYLOAD
    assert await watched.works()
