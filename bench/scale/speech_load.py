"""Live streams that repeat clips of real speech, as records that are encoded once.

Each stream begins at the first sample of its clip, in one of `PHASES` turns of a record's length.
What a turn has for a partition is one batch, as gateways send that serve many calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from bench.host.looped_speech import RECORD_MS, LoopedClip
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import Int16Array
from consumer.core.streams.records import Partition, SessionKey
from consumer.core.streams.session import Session, SessionStart
from consumer.core.streams.timeline import AudioSegment
from consumer.detection.detector_thread import SpeechScorer
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import encode_audio

PHASES: Final = 5
PHASE_MS: Final = RECORD_MS // PHASES
MAX_BATCH_BYTES: Final = 900_000  # below the limit of the topic


class SpokenUtterance(NamedTuple):
    """An utterance as the detector finds it in a clip that is repeated."""

    end: int  # sample after the last one
    decided_in: int  # number of the record with which its end is certain


@dataclass(frozen=True, slots=True)
class SpokenClip:
    """A repeated clip, its payloads, and the utterances in them."""

    clip: LoopedClip
    payloads: tuple[bytes, ...]  # of one repetition
    utterances: tuple[SpokenUtterance, ...]

    @property
    def speech_share(self) -> float:
        """Return the share of the audio that the words cover."""
        words = self.clip.words
        return sum(word.end_s - word.start_s for word in words) / self.clip.seconds


def spoken_clip(clip: LoopedClip, seconds: float, scorer: SpeechScorer) -> SpokenClip:
    """Return the clip with its utterances, found as a worker does in `seconds` of repetitions."""
    size = clip.rate * RECORD_MS // 1000
    payloads = tuple(
        clip.samples[at : at + size].tobytes() for at in range(0, len(clip.samples), size)
    )
    audio = clip.audio(seconds)
    return SpokenClip(clip, payloads, tuple(_utterances(audio, clip.rate, size, scorer)))


def _utterances(
    audio: Int16Array, rate: int, size: int, scorer: SpeechScorer
) -> Iterator[SpokenUtterance]:
    session = _session(rate, scorer.segmenter)
    for number, at in enumerate(range(0, len(audio), size)):
        session.append(AudioSegment(audio[at : at + size], at, number, 0.0, 0))
        while (request := session.score_request()) is not None:
            vad = request.vad
            vad.detector = vad.detector or scorer.open(rate, vad.lead_in)
            (scores,) = scorer.score([(vad.detector, request.samples)])
            cut = session.on_scores(scores)
            pending = None if cut is None else session.apply(cut)
            if pending is not None:
                yield SpokenUtterance(pending.utterance.end, number)


def _session(rate: int, segmenter: SegmenterConfig) -> Session:
    start = SessionStart(
        key=SessionKey(Partition("", 0), "", ""),
        first=0,
        wall_ms=0.0,
        rate=rate,
        channels=1,
        options=StreamOptions(),
        problems=(),
        traceparent=None,
    )
    return Session.start(start, segmenter)


class SpokenStream:
    """One stream: its records in order."""

    def __init__(self, number: int, spoken: SpokenClip, options: StreamOptions) -> None:
        self.stream_id = f"call-{number}"
        self.phase = number % PHASES
        self.spoken = spoken
        self._options = options
        self._key = self.stream_id.encode()
        stated = AudioChunk(self.stream_id, b"", rate=spoken.clip.rate, channels=1)
        self._headers = encode_audio(stated).headers
        self._size = spoken.clip.rate * RECORD_MS // 1000

    def record(self, number: int, captured_ms: int) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
        """Return key, value and headers of a record; only its numbers are encoded now."""
        headers = [
            *self._headers,
            ("seq", b"%d" % number),
            ("start", b"%d" % (number * self._size)),
            ("captured_ms", b"%d" % captured_ms),
        ]
        if number == 0:
            headers += encode_audio(AudioChunk("", b"", options=self._options)).headers[1:]
        payloads = self.spoken.payloads
        return self._key, payloads[number % len(payloads)], headers


class Load:
    """Publishes the records of many streams in their turns."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        streams: Sequence[SpokenStream],
        partitions: int,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._turns: list[list[tuple[int, list[SpokenStream]]]] = [
            [
                (partition, [*_of(streams, phase, partition, partitions)])
                for partition in range(partitions)
            ]
            for phase in range(PHASES)
        ]

    async def publish(self, number: int, phase: int, captured_ms: int) -> None:
        """Send record `number` of each stream of a turn; do not wait for the broker."""
        for partition, streams in self._turns[phase]:
            batch = self._producer.create_batch()
            for stream in streams:
                key, value, headers = stream.record(number, captured_ms)
                if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                    await self._producer.send_batch(batch, self._topic, partition=partition)
                    batch = self._producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None, headers=headers)
            if batch.record_count():
                await self._producer.send_batch(batch, self._topic, partition=partition)


def _of(
    streams: Sequence[SpokenStream], phase: int, partition: int, partitions: int
) -> Iterator[SpokenStream]:
    """Yield the streams of a phase and a partition."""
    for index, stream in enumerate(streams):
        if stream.phase == phase and index // PHASES % partitions == partition:
            yield stream
