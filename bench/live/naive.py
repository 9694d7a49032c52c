"""`python -m bench.live.naive`: the peer, as it is written today, with care, in a day.

aiokafka -> webrtcvad in 20 ms frames -> a queue -> faster-whisper int8, one utterance at a time, on
a thread of its own -> aiokafka. No transactions, no batches, no partials. Utterances begin and end
as in webrtcvad's own example: most of a ring of frames is speech, or none of it.

It gets what the product gets: the same records, wait for the end of speech, longest utterance,
threads and weights. It writes no word times, which cost the product some of its time.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import webrtcvad
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.engines.catalog import FASTER_WHISPER, Engine, Weights, keep_quiet
from consumer.core.audio.samples import to_float
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array
from consumer.inference.device import set_threads
from consumer.settings import Settings, from_environment
from schemas.topics import Topics

FRAME_MS: Final = 20
FRAME_BYTES: Final = 2 * WHISPER_RATE * FRAME_MS // 1000
ONSET_MS: Final = 300  # of frames that are looked at for a beginning; they are its pre-roll too
LONGEST_MS: Final = SegmenterConfig().max_utterance_ms
SHARE: Final = 0.9  # of a ring of frames that must agree
MODE: Final = 2  # of webrtcvad, 0 hears most


@dataclass(frozen=True, slots=True)
class Utterance:
    stream_id: str
    language: str
    start_s: float
    pcm: bytes

    @property
    def end_s(self) -> float:
        return self.start_s + len(self.pcm) / (2 * WHISPER_RATE)

    @property
    def samples(self) -> Float32Array:
        return to_float(np.frombuffer(self.pcm, np.int16))


@dataclass(slots=True)
class Stream:
    """16 kHz mono PCM of one stream in, utterances out."""

    stream_id: str
    language: str
    endpoint_ms: int
    rest: bytes = b""  # less than a frame
    frames: int = 0  # so far
    ring: deque[tuple[bytes, bool]] = field(default_factory=deque)  # frame, whether it is speech
    spoken: list[bytes] = field(default_factory=list)  # frames of the open utterance
    vad: webrtcvad.Vad = field(default_factory=lambda: webrtcvad.Vad(MODE))

    def push(self, pcm: bytes) -> Iterator[Utterance]:
        pcm = self.rest + pcm
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self.rest = pcm[whole:]
        for at in range(0, whole, FRAME_BYTES):
            if (utterance := self._frame(pcm[at : at + FRAME_BYTES])) is not None:
                yield utterance

    def end(self) -> Iterator[Utterance]:
        if self.spoken:
            yield self._close()

    def _frame(self, frame: bytes) -> Utterance | None:
        self.frames += 1
        self.ring.append((frame, self.vad.is_speech(frame, WHISPER_RATE)))
        if self.spoken:
            self.spoken.append(frame)
            too_long = len(self.spoken) * FRAME_MS >= LONGEST_MS
            over = self._agrees(self.endpoint_ms, speech=False)
            return self._close() if over or too_long else None
        if self._agrees(ONSET_MS, speech=True):
            self.spoken = [frame for frame, _ in self.ring]
            self.ring.clear()
        return None

    def _agrees(self, length_ms: int, *, speech: bool) -> bool:
        """Whether most of the last `length_ms` is speech, or is not."""
        full = length_ms // FRAME_MS
        while len(self.ring) > full:
            self.ring.popleft()
        return sum(heard is speech for _, heard in self.ring) >= SHARE * full

    def _close(self) -> Utterance:
        start_s = (self.frames - len(self.spoken)) * FRAME_MS / 1000
        pcm, self.spoken = b"".join(self.spoken), []
        self.ring.clear()
        return Utterance(self.stream_id, self.language, start_s, pcm)


class Service:
    """One consumer loop, one decoding loop, a queue between them."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        topics = Topics(settings.prefix)
        self._settings, self._engine = settings, engine
        self._out = topics.transcripts
        self._streams: dict[str, Stream] = {}
        self._queue: asyncio.Queue[tuple[str, Utterance | None]] = asyncio.Queue()
        self._consumer = AIOKafkaConsumer(
            topics.audio,
            bootstrap_servers=settings.bootstrap,
            group_id=settings.group,
            auto_offset_reset="earliest",
        )
        self._producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)

    async def run(self) -> None:
        async with (
            self._consumer,
            self._producer,
            _ready(self._settings),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._decode())
            async for record in self._consumer:
                self._read(record)

    def _read(self, record: Any) -> None:
        headers, name = dict(record.headers), record.key.decode()
        stream = self._streams.get(name)
        if stream is None:
            language = headers.get("language", b"").decode()
            stream = self._streams[name] = Stream(name, language, self._settings.endpoint_ms)
        for utterance in stream.push(record.value):
            self._queue.put_nowait((name, utterance))
        if "end" in headers:
            for utterance in self._streams.pop(name).end():
                self._queue.put_nowait((name, utterance))
            self._queue.put_nowait((name, None))

    async def _decode(self) -> None:
        while True:
            name, utterance = await self._queue.get()
            event: dict[str, Any] = {"type": "ended", "stream_id": name}
            if utterance is not None:
                text = await asyncio.to_thread(self._transcribe, utterance)
                span = {"start_s": utterance.start_s, "end_s": utterance.end_s}
                event |= {"type": "final", **span, "text": text}
            await self._producer.send_and_wait(self._out, orjson.dumps(event), name.encode())

    def _transcribe(self, utterance: Utterance) -> str:
        (heard,) = self._engine.transcribe([utterance.samples], [utterance.language], words=False)
        return heard.text


@asynccontextmanager
async def _ready(settings: Settings) -> AsyncIterator[None]:
    """Answers /readyz, as orchestrators ask."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ready\n")

    app = web.Application()
    app.router.add_get("/readyz", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, settings.http_host, settings.http_port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _serve(settings: Settings, engine: Engine) -> None:
    await Service(settings, engine).run()


def main() -> int:
    settings = from_environment()
    keep_quiet()
    set_threads(settings.threads)
    folder = Path(settings.model)
    engine = FASTER_WHISPER.engine(Weights(folder, ctranslate2=folder))
    silence = np.zeros(WHISPER_RATE, np.float32)
    engine.transcribe([silence], ["en"], words=False)  # warm
    asyncio.run(_serve(settings, engine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
