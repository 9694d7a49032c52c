"""`python -m bench.live.baseline`: the pipeline that is usually written first, with care.

aiokafka -> webrtcvad in 20 ms frames -> a queue -> faster-whisper int8, one utterance at a time, on
a thread of its own -> aiokafka. No transactions, no batches, no partials. Utterances start and end
as in webrtcvad's own example: when 90 % of a ring of frames is speech, or is not.

It gets what streamscribe gets: the same records, wait for the end of speech, longest utterance,
threads and weights. It writes no word times, which cost streamscribe some of its time.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import webrtcvad
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.engine.engines.catalog import FASTER_WHISPER, ClipEngine, Weights, keep_quiet
from consumer.core.audio.samples import to_float
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.health import Health
from consumer.inference.device import set_threads
from consumer.metrics import Metrics
from consumer.settings import Settings, from_environment
from schemas.codec import encode_event
from schemas.topics import Topics
from schemas.transcript import (
    AnyEvent,
    Model,
    Quality,
    Source,
    StreamEnded,
    StreamEndReason,
    Timing,
    TranscriptFinal,
)

FRAME_MS: Final = 20
FRAME_BYTES: Final = 2 * WHISPER_RATE * FRAME_MS // 1000
ONSET_MS: Final = 300  # ring of frames that decides on the start; they are its pre-roll too
LONGEST_MS: Final = SegmenterConfig().max_utterance_ms
SHARE: Final = 0.9  # of the frames of a ring that must agree
MODE: Final = 2  # of webrtcvad, 0 to 3; 0 takes most for speech
_UNKNOWN: Final[dict[str, Any]] = {"session_id": "", "index": 0, "time_ms": 0}


class BaselineUtterance(NamedTuple):
    """One utterance, to be decoded."""

    start_s: float
    pcm: bytes

    @property
    def end_s(self) -> float:
        return self.start_s + len(self.pcm) / (2 * WHISPER_RATE)


@dataclass(slots=True)
class BaselineStream:
    """Cuts 16 kHz mono PCM of one stream into utterances."""

    language: str
    endpoint_ms: int
    rest: bytes = b""  # less than a frame
    frames: int = 0  # so far
    ring: deque[tuple[bytes, bool]] = field(default_factory=deque)  # frame, whether it is speech
    open: list[bytes] = field(default_factory=list)  # frames of the open utterance
    vad: webrtcvad.Vad = field(default_factory=lambda: webrtcvad.Vad(MODE))

    def push(self, pcm: bytes) -> Iterator[BaselineUtterance]:
        pcm = self.rest + pcm
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self.rest = pcm[whole:]
        for at in range(0, whole, FRAME_BYTES):
            if self._closes(pcm[at : at + FRAME_BYTES]):
                yield from self.end()

    def end(self) -> Iterator[BaselineUtterance]:
        """Yield the open utterance, if there is one, and close it."""
        if self.open:
            yield BaselineUtterance(
                (self.frames - len(self.open)) * FRAME_MS / 1000, b"".join(self.open)
            )
        self.open = []
        self.ring.clear()

    def _closes(self, frame: bytes) -> bool:
        """Take a frame; return whether it is the last of the open utterance."""
        self.frames += 1
        self.ring.append((frame, self.vad.is_speech(frame, WHISPER_RATE)))
        if self.open:
            self.open.append(frame)
            is_full = len(self.open) * FRAME_MS >= LONGEST_MS
            return self._ring_agrees(self.endpoint_ms, speech=False) or is_full
        if self._ring_agrees(ONSET_MS, speech=True):
            self.open = [frame for frame, _ in self.ring]
            self.ring.clear()
        return False

    def _ring_agrees(self, length_ms: int, *, speech: bool) -> bool:
        """Shorten the ring to `length_ms`; return whether SHARE of that is speech, or is not."""
        length = length_ms // FRAME_MS
        while len(self.ring) > length:
            self.ring.popleft()
        return sum(is_speech is speech for _, is_speech in self.ring) >= SHARE * length


class BaselineService:
    """One consumer loop and one decoding loop, with a queue between them."""

    def __init__(self, settings: Settings, engine: ClipEngine) -> None:
        topics = Topics(settings.prefix)
        self._settings, self._engine = settings, engine
        self._transcripts = topics.transcripts
        self._streams: dict[str, BaselineStream] = {}
        # Stream id, language and utterance; None: the stream has ended.
        self._queue: asyncio.Queue[tuple[str, str, BaselineUtterance | None]] = asyncio.Queue()
        self._consumer = AIOKafkaConsumer(
            topics.audio,
            bootstrap_servers=settings.bootstrap,
            group_id=settings.group,
            auto_offset_reset="earliest",
        )
        self._producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)

    async def run(self) -> None:
        health = Health(self._settings.http_host, self._settings.http_port, Metrics())
        async with self._consumer, self._producer, health, asyncio.TaskGroup() as group:
            health.is_ready()
            group.create_task(self._decode())
            async for record in self._consumer:
                self._ingest(record)

    def _ingest(self, record: Any) -> None:
        headers, stream_id = dict(record.headers), record.key.decode()
        if (stream := self._streams.get(stream_id)) is None:
            language = headers.get("language", b"").decode()
            stream = BaselineStream(language, self._settings.endpoint_ms)
            self._streams[stream_id] = stream
        ready: list[BaselineUtterance | None] = [*stream.push(record.value)]
        if "end" in headers:
            ready += [*self._streams.pop(stream_id).end(), None]
        for utterance in ready:
            self._queue.put_nowait((stream_id, stream.language, utterance))

    async def _decode(self) -> None:
        while True:
            stream_id, language, utterance = await self._queue.get()
            event: AnyEvent = ended_event(stream_id)
            if utterance is not None:
                text = await asyncio.to_thread(self._transcribe, utterance.pcm, language)
                event = final_event(stream_id, language, utterance, text)
            key, value, headers = encode_event(event)
            await self._producer.send_and_wait(self._transcripts, value, key, headers=headers)

    def _transcribe(self, pcm: bytes, language: str) -> str:
        samples = to_float(np.frombuffer(pcm, np.int16))
        (decoded,) = self._engine.transcribe([samples], [language], words=False)
        return decoded.text


def final_event(
    stream_id: str, language: str, utterance: BaselineUtterance, text: str
) -> TranscriptFinal:
    """Return a final with span and text; all else was not measured."""
    return TranscriptFinal(
        **_UNKNOWN,
        stream_id=stream_id,
        utterance=0,
        start_s=utterance.start_s,
        end_s=utterance.end_s,
        speech_end_s=utterance.end_s,
        start_sample=round(utterance.start_s * WHISPER_RATE),
        end_sample=round(utterance.end_s * WHISPER_RATE),
        rate=WHISPER_RATE,
        started_at_ms=0,
        end_reason="silence",
        language=language,
        language_probability=None,
        text=text,
        words=None,
        confidence=None,
        quality=Quality(0.0, 0.0, 0.0),
        model=Model("", "", FASTER_WHISPER.dtype, fold=False),
        source=Source("", 0, 0, 0),
        timing=Timing(None, 0, 0),
    )


def ended_event(stream_id: str) -> StreamEnded:
    return StreamEnded(
        **_UNKNOWN,
        stream_id=stream_id,
        reason=StreamEndReason.END,
        utterances=0,
        audio_s=0.0,
        speech_s=0.0,
        gaps=0,
    )


async def _serve(settings: Settings, engine: ClipEngine) -> None:
    await BaselineService(settings, engine).run()


def main() -> int:
    settings = from_environment()
    keep_quiet()
    set_threads(settings.threads)
    folder = Path(settings.model)
    engine = FASTER_WHISPER.engine(Weights(folder, ctranslate2=folder))
    silence = np.zeros(WHISPER_RATE, np.float32)
    engine.transcribe([silence], ["en"], words=False)  # the first decode is slow
    asyncio.run(_serve(settings, engine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
