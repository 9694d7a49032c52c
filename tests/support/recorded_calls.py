"""Two telephone calls as Twilio and Asterisk send them, made of speech in samples/.

`python tests/support/recorded_calls.py` writes them to tests/recordings; a test compares them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import soundfile

from consumer.core.audio.utterance import Int16Array
from producer.conversion import encoded
from schemas.audio import AudioCodec

ROOT = Path(__file__).parent.parent.parent
RECORDINGS = ROOT / "tests/recordings"
TWILIO = RECORDINGS / "twilio.jsonl"
AUDIOSOCKET = RECORDINGS / "audiosocket.bin"

RATE = 8_000
FRAME = 160  # samples: 20 ms
FRAMES = 62  # of each track

CALL_SID = "CA5e1f0d8c7b6a4938271605f4e3d2c1b0"
STREAM_SID = "MZ0a1b2c3d4e5f60718293a4b5c6d7e8f9"
FIRST_MS = 5  # the timestamp of the first media message, as in Twilio's own example
DISCARDED = range(30, 40)  # inbound frames that Twilio discards: no message, and no number
LOST = range(45, 50)  # outbound frames whose messages are lost, with their numbers
REPEATED = 12  # an inbound frame whose message comes twice
SWAPPED = 18  # an outbound frame whose message comes after the next one
DELAYED = 22  # an inbound frame whose message comes after four others
JITTERS = 26  # an inbound frame with a timestamp 3 ms late

CALL_ID = UUID("1f6d5c0e-2b7a-4c3d-9e8f-7a6b5c4d3e2f")


def speech(start_s: float) -> Int16Array:
    """Return a second and a quarter of the telephone call in samples/."""
    samples, rate = soundfile.read(ROOT / "samples/en_phone_call.flac", dtype="int16")
    assert rate == RATE
    first = round(start_s * RATE)
    return np.asarray(samples[first : first + FRAMES * FRAME], np.int16)


@cache
def mulaw(track: str) -> bytes:
    """Return the µ-law of a track of the Twilio call, complete."""
    samples = speech({"inbound": 0.6, "outbound": 8.6}[track])
    return encoded(samples.reshape(-1, 1), RATE, AudioCodec.PCM_MULAW)


@dataclass
class TwilioCall:
    """Numbers the messages of a call."""

    number: int = 0  # of the last message
    chunk: int = 0  # of the last message with audio

    def message(self, event: str, **content: Any) -> str:
        self.number += 1
        message = {"event": event, "sequenceNumber": str(self.number), **content}
        return json.dumps({**message, "streamSid": STREAM_SID})

    def media(self, track: str, frame: int) -> str:
        audio = mulaw(track)[frame * FRAME : (frame + 1) * FRAME]
        self.chunk += 1
        late_ms = 3 if (track, frame) == ("inbound", JITTERS) else 0
        media = {
            "track": track,
            "chunk": str(self.chunk),
            "timestamp": str(FIRST_MS + 20 * frame + late_ms),
            "payload": base64.b64encode(audio).decode(),
        }
        return self.message("media", media=media)


def twilio_messages() -> list[str]:
    """Return the messages in the order in which they arrive."""
    call = TwilioCall()
    messages = [json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})]
    messages.append(call.message("start", start=start()))
    delayed = ""
    for frame in range(FRAMES):
        outbound = call.media("outbound", frame)
        inbound = "" if frame in DISCARDED else call.media("inbound", frame)
        if frame in LOST:
            outbound = ""
        if frame == SWAPPED:
            outbound, inbound = inbound, outbound
        if frame == DELAYED:
            inbound, delayed = "", inbound
        messages += filter(None, [outbound, inbound])
        if frame == REPEATED:
            messages.append(inbound)
        if frame == DELAYED + 2:
            messages.append(delayed)
        messages += others(call, frame)
    stop = {"accountSid": start()["accountSid"], "callSid": CALL_SID}
    return [*messages, call.message("stop", stop=stop)]


def start() -> dict[str, Any]:
    return {
        "accountSid": "AC00112233445566778899aabbccddeeff",
        "streamSid": STREAM_SID,
        "callSid": CALL_SID,
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1},
        "customParameters": {},
    }


def others(call: TwilioCall, frame: int) -> Iterator[str]:
    """Yield the messages without audio that follow a frame."""
    if frame == 15:
        yield call.message("dtmf", dtmf={"track": "inbound_track", "digit": "1"})
    if frame == 27:
        yield call.message("mark", mark={"name": "greeting"})


def audiosocket_frames() -> list[bytes]:
    """Return the frames of an AudioSocket call."""
    pcm = speech(0.6).astype("<i2").tobytes()
    audio = [frame(0x10, pcm[at : at + 2 * FRAME]) for at in range(0, len(pcm), 2 * FRAME)]
    return [
        frame(0x01, CALL_ID.bytes),
        *audio[:20],
        frame(0x03, b"5"),
        *audio[20:40],
        frame(0x05, b"\x01\x02\x03"),  # a type that does not exist
        frame(0xFF, b"\x02"),  # an error: a frame could not be forwarded
        *audio[40:],
        frame(0x00, b""),
    ]


def frame(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


if __name__ == "__main__":
    TWILIO.write_text("\n".join(twilio_messages()) + "\n", "utf-8")
    AUDIOSOCKET.write_bytes(b"".join(audiosocket_frames()))
