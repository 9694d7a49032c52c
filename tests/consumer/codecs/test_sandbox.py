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
from scripted_codecs import BABBLE, CRASH, HANG, NO_START, SLOW_START, SLOW_START_S, SPIN

from consumer.codecs import sandbox
from consumer.codecs.decode import decode
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.audio.samples import DecodedAudio
from consumer.errors import SttError
from schemas.audio import AudioCodec
from schemas.errors import Reason, WireError

TONE = (np.sin(np.arange(8_000) * 0.2) * 12_000).astype(np.int16)
LONG_TIMEOUT_S = 60.0  # no test waits for it
SHORT_TIMEOUT_S = 0.5  # for payloads that hang
SHORT_CPU_LIMIT_S = 0.4


def flac(channels: int = 1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.repeat(TONE[:, None], channels, axis=1), 16_000, format="FLAC")
    return file.getvalue()


class ScriptedSandbox:
    """A sandbox with scripted processes, and the number of processes that it has replaced."""

    def __init__(
        self, timeout_s: float = LONG_TIMEOUT_S, command: tuple[str, ...] = scripted_codecs.COMMAND
    ) -> None:
        self.failures = 0
        self.sandbox = CodecSandbox(
            self._count, cpu_limit_s=SHORT_CPU_LIMIT_S, timeout_s=timeout_s, command=command
        )

    def _count(self) -> None:
        self.failures += 1

    async def decode(self, payload: bytes, codec: AudioCodec = AudioCodec.FLAC) -> DecodedAudio:
        return await self.sandbox.decode(payload, codec, None, None)

    async def works(self) -> bool:
        pcm = await self.decode(flac())
        return np.array_equal(pcm.samples[:, 0], TONE)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedSandbox]:
    scripted = ScriptedSandbox()
    async with scripted.sandbox:
        yield scripted


def children() -> set[int]:
    """Return the codec processes of this process."""
    mine = {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text("ascii").split()
    }
    return {pid for pid in mine if b"codec" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@pytest.mark.parametrize("channels", [1, 2])
async def test_samples_equal_those_of_a_decode_in_process(
    scripted: ScriptedSandbox, channels: int
) -> None:
    found = await scripted.decode(flac(channels))
    wanted = decode(flac(channels), AudioCodec.FLAC, None, None)
    assert found.rate == wanted.rate
    assert np.array_equal(found.samples, wanted.samples)


async def test_rejections_equal_those_of_a_decode_in_process(scripted: ScriptedSandbox) -> None:
    with pytest.raises(WireError) as direct:
        decode(flac(), AudioCodec.MP3, None, None)
    with pytest.raises(WireError) as sandboxed:
        await scripted.decode(flac(), AudioCodec.MP3)
    assert sandboxed.value.reason == direct.value.reason
    assert str(sandboxed.value) == str(direct.value)
    assert scripted.failures == 0


async def test_a_record_is_decoded_after_its_process_was_killed(scripted: ScriptedSandbox) -> None:
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    for _ in range(sandbox.PROCESSES):
        assert await scripted.works()
    assert 1 <= scripted.failures <= sandbox.PROCESSES


@pytest.mark.parametrize("payload", [CRASH, BABBLE])
async def test_a_record_that_crashes_two_processes_is_rejected(
    scripted: ScriptedSandbox, payload: bytes
) -> None:
    with pytest.raises(WireError, match="the flac decoder failed on the payload") as rejected:
        await scripted.decode(payload)
    assert rejected.value.reason == Reason.BAD_PAYLOAD
    assert scripted.failures == 2
    assert await scripted.works()


async def test_a_record_that_hangs_its_decoder_is_rejected_and_the_next_is_decoded() -> None:
    scripted = ScriptedSandbox(SHORT_TIMEOUT_S)
    async with scripted.sandbox:
        with pytest.raises(WireError, match="failed on the payload") as rejected:
            await scripted.decode(HANG)
        assert rejected.value.reason == Reason.BAD_PAYLOAD
        assert scripted.failures == 1


async def test_a_record_that_uses_up_its_cpu_time_is_rejected_at_once(
    scripted: ScriptedSandbox,
) -> None:
    with pytest.raises(WireError, match="failed on the payload") as rejected:
        await scripted.decode(SPIN)
    assert rejected.value.reason == Reason.BAD_PAYLOAD
    assert scripted.failures == 1
    assert await scripted.works()


async def test_the_start_of_a_process_does_not_count_against_the_payload() -> None:
    assert max(SHORT_TIMEOUT_S, SHORT_CPU_LIMIT_S) < SLOW_START_S
    scripted = ScriptedSandbox(SHORT_TIMEOUT_S, SLOW_START)
    async with scripted.sandbox:
        with pytest.raises(WireError):
            await scripted.decode(CRASH)  # replaces the process
        for _ in range(sandbox.PROCESSES):
            assert await scripted.works()


async def test_a_process_that_does_not_start_is_an_error_of_the_worker() -> None:
    with pytest.raises(SttError, match="a codec process did not start"):
        await ScriptedSandbox(command=NO_START).sandbox.__aenter__()
    assert not children()


async def test_records_that_hang_do_not_delay_others(scripted: ScriptedSandbox) -> None:
    """There are more of them than slots, and each releases its slot."""
    hanging = [asyncio.create_task(scripted.decode(HANG)) for _ in range(sandbox.MAX_OVERDUE)]
    for _ in range(10):
        assert await scripted.works()
    assert not any(task.done() for task in hanging)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert await scripted.works()


async def test_a_decoder_that_hangs_does_not_block_the_event_loop(
    scripted: ScriptedSandbox,
) -> None:
    task = asyncio.create_task(scripted.decode(HANG))
    switches = 0
    while switches < 1_000:
        await asyncio.sleep(0)
        switches += 1
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_leaving_the_sandbox_ends_its_processes() -> None:
    before = children()
    async with CodecSandbox():
        assert len(children() - before) == sandbox.PROCESSES
    assert children() == before


async def test_a_file_that_crashed_libsndfile_is_rejected(scripted: ScriptedSandbox) -> None:
    payload = (Path(__file__).parent / "records" / "libsndfile-segfault.ogg").read_bytes()
    for _ in range(300):  # only some decodes of it crash
        with pytest.raises(WireError) as rejected:
            await scripted.decode(payload, AudioCodec.VORBIS)
        assert rejected.value.reason == Reason.BAD_PAYLOAD
    assert await scripted.works()
