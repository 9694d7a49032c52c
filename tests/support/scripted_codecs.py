"""A codec process whose decoder hangs, crashes or babbles where the payload says so."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

from consumer.codecs import sandbox_process
from consumer.codecs.decode import decode
from consumer.core.audio.samples import DecodedAudio
from schemas.audio import AudioCodec

COMMAND: Final = (sys.executable, __file__)
HANG, CRASH, BABBLE = b"hang", b"crash", b"babble"


def scripted(
    payload: bytes, codec: AudioCodec, rate: int | None, channels: int | None
) -> DecodedAudio:
    if payload == HANG:
        signal.pause()
    if payload == CRASH:
        os.abort()
    if payload == BABBLE:
        os.write(sys.stdout.fileno(), bytes(range(256)))
        os._exit(0)
    return decode(payload, codec, rate, channels)


if __name__ == "__main__":
    sandbox_process.decode = scripted
    sandbox_process.main()
