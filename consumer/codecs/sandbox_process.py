"""The process that decodes untrusted containers: a crash of a decoder does not end the worker.

    ready    = one byte, after the decoders are imported
    request  = codec, rate, channels, length of the payload | payload
    answer   = is_rejected, rate, channels, length of the body | samples, or reason and message

`python -m consumer.codecs.sandbox_process CPU_LIMIT_S` answers on standard output until its input
ends. The kernel ends it by SIGPROF when one payload takes more CPU time than that. The worker must
validate the answers: memory may be corrupt long before the process crashes.
"""

from __future__ import annotations

import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from consumer.codecs.decode import decode
from consumer.core.audio.samples import DecodedAudio
from schemas.audio import AudioCodec
from schemas.errors import WireError

REQUEST: Final = struct.Struct("<16sIII")  # rate and channels: 0 where they are not given
READY: Final = b"\x06"
ANSWER: Final = struct.Struct("<?III")
_MORE_MEMORY_BYTES: Final = 512 << 20  # above what it starts with; the longest record takes 60 MB
_ALARM_S: Final = 15  # after it the kernel ends a process that blocks, even without its worker


def request(payload: bytes, codec: AudioCodec, rate: int | None, channels: int | None) -> bytes:
    """Return the bytes of a request."""
    head = REQUEST.pack(codec.encode(), rate or 0, channels or 0, len(payload))
    return head + payload


def main() -> None:
    """Answer requests until the input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker drains, then closes our input
        signal.signal(number, signal.SIG_IGN)
    cpu_limit_s = float(sys.argv[-1])
    _limit_memory()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sink.write(READY)
    sink.flush()
    while head := source.read(REQUEST.size):
        with _limited(cpu_limit_s):
            answer = _answer(head, source)
        sink.write(answer)
        sink.flush()


@contextmanager
def _limited(cpu_limit_s: float) -> Iterator[None]:
    """End the process by a signal when the block takes too long."""
    signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
    signal.alarm(_ALARM_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(head: bytes, source: BinaryIO) -> bytes:
    codec, rate, channels, length = REQUEST.unpack(head)
    payload = source.read(length)
    try:
        pcm = decode(
            payload, AudioCodec(codec.rstrip(b"\0").decode()), rate or None, channels or None
        )
    except WireError as rejected:
        return _packed(f"{rejected.reason}\n{rejected}".encode(), 0, 0, is_rejected=True)
    return _samples(pcm)


def _samples(pcm: DecodedAudio) -> bytes:
    channels = pcm.samples.shape[1]
    return _packed(pcm.samples.tobytes(), pcm.rate, channels, is_rejected=False)


def _packed(body: bytes, rate: int, channels: int, *, is_rejected: bool) -> bytes:
    return ANSWER.pack(is_rejected, rate, channels, len(body)) + body


def _limit_memory() -> None:
    """Limit the address space on Linux, so that a payload cannot exhaust the worker's memory."""
    try:
        import resource

        held_pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (ImportError, OSError):  # not on Linux
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = held_pages * resource.getpagesize() + _MORE_MEMORY_BYTES
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    main()
