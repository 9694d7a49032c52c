"""A worker that is killed loses nothing and repeats nothing: real broker, weights and speech."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from itertools import zip_longest
from pathlib import Path

import pytest
import soundfile

from devstack.kafka import LocalKafka
from devstack.worker_process import WorkerProcess
from evaluation.scoring import score
from producer.publisher import AudioPublisher
from schemas.audio import AudioChunk, StreamOptions
from schemas.topics import Topics
from schemas.transcript import AnyEvent, StreamEnded, TranscriptFinal
from subscriber.reader import TranscriptReader
from transport.cluster import create_topics

SAMPLES = Path(__file__).parent.parent / "samples"
CLIPS = ("en_jfk.flac", "en_ljspeech.flac", "zh_aishell_crisis.flac")
CHUNK_S = 0.1
MOST_ERRORS = {"en": 0.20, "zh": 0.30}  # of the sample's words or characters


@pytest.mark.whisper
async def test_a_killed_worker_loses_nothing_and_repeats_nothing(
    kafka: LocalKafka, prefix: str, base_weights: Path, tmp_path: Path
) -> None:
    topics = Topics(prefix)
    await create_topics(kafka.bootstrap, topics, partitions=1)
    clips = {row["file"]: row for row in manifest() if row["file"] in CLIPS}
    streams = [list(chunks(clip["file"], clip["lang"])) for clip in clips.values()]
    settings = {"bootstrap": kafka.bootstrap, "prefix": prefix, "model": str(base_weights)}
    events: list[AnyEvent] = []
    async with (
        asyncio.timeout(180),
        AudioPublisher(kafka.bootstrap, topics.audio) as publisher,
        TranscriptReader(kafka.bootstrap, topics.transcripts) as reader,
    ):
        seen = aiter(reader)
        first = WorkerProcess(settings, tmp_path / "first.log")
        await first.start()
        await publish(publisher, [half(stream, 0) for stream in streams])
        await until(seen, events, TranscriptFinal, 1)
        await first.kill()
        await publish(publisher, [half(stream, 1) for stream in streams])
        async with WorkerProcess(settings, tmp_path / "second.log"):
            await until(seen, events, StreamEnded, len(clips))
    for file, clip in clips.items():
        text = " ".join(final.text for final in transcript(events, file))
        assert score(clip["text"], text, clip["lang"]).rate <= MOST_ERRORS[clip["lang"]], text


def manifest() -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLES / "manifest.jsonl").read_text().splitlines()]


def chunks(file: str, language: str) -> Iterable[AudioChunk]:
    """A clip as a publisher would send it."""
    samples, rate = soundfile.read(SAMPLES / file, dtype="int16")
    step = round(CHUNK_S * rate)
    starts = range(0, len(samples), step)
    for seq, start in enumerate(starts):
        yield AudioChunk(
            file,
            samples[start : start + step].tobytes(),
            rate=rate,
            channels=1,
            seq=seq,
            start=start,
            end=start == starts[-1],
            options=StreamOptions(languages=(language,)),
        )


def half(stream: list[AudioChunk], number: int) -> list[AudioChunk]:
    middle = len(stream) // 2
    return stream[middle:] if number else stream[:middle]


async def publish(publisher: AudioPublisher, streams: list[list[AudioChunk]]) -> None:
    """All streams at once, chunk by chunk."""
    for row in zip_longest(*streams):
        for chunk in filter(None, row):
            await publisher.send(chunk)
    await publisher.flush()


async def until(
    seen: AsyncIterator[AnyEvent], events: list[AnyEvent], kind: type[AnyEvent], enough: int
) -> None:
    """Read until so many events of a kind have come since now."""
    while enough:
        event = await anext(seen)
        events.append(event)
        enough -= isinstance(event, kind)


def transcript(events: list[AnyEvent], stream_id: str) -> list[TranscriptFinal]:
    """A stream's finals: one session, and nothing twice, whoever wrote it."""
    told = [event for event in events if event.stream_id == stream_id]
    assert len({event.session_id for event in told}) == 1
    assert [event.index for event in told] == list(range(len(told)))
    return [event for event in told if isinstance(event, TranscriptFinal)]
