"""The process that decodes containers from strangers: a decoder that crashes ends no worker.

    request  = codec, rate, channels, length of the payload | payload
    answer   = is_rejected, rate, channels, length of the body | samples, or reason and message

`python -m consumer.codecs.sandbox_process` answers on standard output until its input ends. Whoever
reads an answer must not trust it: a crash may begin long before it shows.
"""

from __future__ import annotations

import signal
import struct
import sys
from pathlib import Path
from typing import BinaryIO, Final

from consumer.codecs.decode import decode
from consumer.core.audio.samples import DecodedAudio
from schemas.audio import AudioCodec
from schemas.errors import WireError

REQUEST: Final = struct.Struct("<16sIII")  # 0: rate or channels are not given
ANSWER: Final = struct.Struct("<?III")
_MORE_MEMORY_BYTES: Final = 512 << 20  # than it begins with; a longest record takes 60 MB
_ALARM_S: Final = 10  # the kernel ends a process whose decoder hangs, though its worker be gone


def request(payload: bytes, codec: AudioCodec, rate: int | None, channels: int | None) -> bytes:
    head = REQUEST.pack(codec.encode(), rate or 0, channels or 0, len(payload))
    return head + payload


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker drains first, and ends our input
        signal.signal(number, signal.SIG_IGN)
    _bound_memory()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(REQUEST.size):
        signal.alarm(_ALARM_S)
        answer = _answer(head, source)
        signal.alarm(0)
        sink.write(answer)
        sink.flush()


def _answer(head: bytes, source: BinaryIO) -> bytes:
    codec, rate, channels, length = REQUEST.unpack(head)
    payload = source.read(length)
    try:
        pcm = decode(
            payload, AudioCodec(codec.rstrip(b"\0").decode()), rate or None, channels or None
        )
    except WireError as rejected:
        return _packed(f"{rejected.reason}\n{rejected}".encode(), 0, 0, is_rejected=True)
    return _sound(pcm)


def _sound(pcm: DecodedAudio) -> bytes:
    channels = pcm.samples.shape[1]
    return _packed(pcm.samples.tobytes(), pcm.rate, channels, is_rejected=False)


def _packed(body: bytes, rate: int, channels: int, *, is_rejected: bool) -> bytes:
    return ANSWER.pack(is_rejected, rate, channels, len(body)) + body


def _bound_memory() -> None:
    """Of addresses, so that nothing is ever taken from the worker; where the system can."""
    try:
        import resource

        held_pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (ImportError, OSError):  # not on Linux
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    bound = held_pages * resource.getpagesize() + _MORE_MEMORY_BYTES
    if most == resource.RLIM_INFINITY or bound < most:
        resource.setrlimit(resource.RLIMIT_AS, (bound, most))


if __name__ == "__main__":
    main()
