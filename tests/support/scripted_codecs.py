"""A codec process whose decoder blocks, spins, crashes or writes garbage, as the payload asks."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Final

from consumer.codecs import sandbox_process
from consumer.codecs.decode import decode
from consumer.core.audio.samples import DecodedAudio
from schemas.audio import AudioCodec

COMMAND: Final = (sys.executable, __file__)
SLOW_START_S: Final = 0.6  # CPU time
SLOW_START: Final = (*COMMAND, "slow start")
NO_START: Final = (*COMMAND, "no start")
HANG, SPIN, CRASH, BABBLE = b"hang", b"spin", b"crash", b"babble"


def scripted(
    payload: bytes, codec: AudioCodec, rate: int | None, channels: int | None
) -> DecodedAudio:
    if payload == HANG:
        signal.pause()
    while payload == SPIN:
        pass
    if payload == CRASH:
        os.abort()
    if payload == BABBLE:
        os.write(sys.stdout.fileno(), bytes(range(256)))
        os._exit(0)
    return decode(payload, codec, rate, channels)


def start() -> None:
    if "no start" in sys.argv:
        sys.exit(1)
    while "slow start" in sys.argv and time.process_time() < SLOW_START_S:
        pass


if __name__ == "__main__":
    start()
    sandbox_process.decode = scripted
    sandbox_process.main()
