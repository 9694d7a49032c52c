"""Exactly-once output across killed processes, with a real broker, weights and speech."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from itertools import chain, zip_longest
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
MAX_ERROR_RATE = {"en": 0.20, "zh": 0.30}  # of the sample's words or characters


@pytest.mark.whisper
async def test_after_a_killed_worker_no_final_is_lost_or_repeated(
    kafka: LocalKafka, prefix: str, base_weights: Path, tmp_path: Path
) -> None:
    topics = Topics(prefix)
    await create_topics(kafka.bootstrap, topics, partitions=1)
    clips, streams = published()
    settings = {"bootstrap": kafka.bootstrap, "prefix": prefix, "model": str(base_weights)}
    events: list[AnyEvent] = []
    async with (
        asyncio.timeout(180),
        AudioPublisher(kafka.bootstrap, topics.audio) as publisher,
        TranscriptReader(kafka.bootstrap, topics.transcripts) as reader,
    ):
        reading = aiter(reader)
        first = WorkerProcess(settings, tmp_path / "first.log")
        await first.start()
        await publish(publisher, [half(stream, 0) for stream in streams])
        await read_until(reading, events, TranscriptFinal, 1)
        await first.kill()
        await publish(publisher, [half(stream, 1) for stream in streams])
        async with WorkerProcess(settings, tmp_path / "second.log"):
            await read_until(reading, events, StreamEnded, len(clips))
    check_transcripts(events, clips)


@pytest.mark.whisper
async def test_after_a_killed_engine_its_workers_lose_and_repeat_nothing(
    kafka: LocalKafka, prefix: str, base_weights: Path, tmp_path: Path
) -> None:
    topics = Topics(prefix)
    await create_topics(kafka.bootstrap, topics, partitions=2)
    clips, streams = published()
    settings = {"bootstrap": kafka.bootstrap, "prefix": prefix, "model": str(base_weights)}
    settings |= {"ingest": "2", "http_port": "0", "log_format": "json"}
    events: list[AnyEvent] = []
    log = tmp_path / "supervisor.log"
    worker = WorkerProcess(settings, log)
    async with (
        asyncio.timeout(180),
        AudioPublisher(kafka.bootstrap, topics.audio) as publisher,
        TranscriptReader(kafka.bootstrap, topics.transcripts) as reader,
    ):
        reading = aiter(reader)
        await worker.spawn()
        await publish(publisher, [half(stream, 0) for stream in streams])
        await read_until(reading, events, TranscriptFinal, 1)
        os.kill(processes(log)["engine"][0], signal.SIGKILL)
        await publish(publisher, [half(stream, 1) for stream in streams])
        await read_until(reading, events, StreamEnded, len(clips))
        await worker.stop()
    check_transcripts(events, clips)
    started = processes(log)
    assert {name: len(pids) for name, pids in started.items()} == {
        "engine": 2,
        "worker 1": 1,
        "worker 2": 1,
    }
    for pid in chain.from_iterable(started.values()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def processes(log: Path) -> dict[str, list[int]]:
    """Return the pids of the processes that a supervisor has started, by their names."""
    started = defaultdict(list)
    for line in map(json.loads, log.read_text().splitlines()):
        if line["event"] == "process started":
            started[line["process"]].append(line["pid"])
    return started


def check_transcripts(events: list[AnyEvent], clips: dict[str, dict[str, str]]) -> None:
    for file, clip in clips.items():
        text = " ".join(final.text for final in transcript(events, file))
        assert score(clip["text"], text, clip["lang"]).rate <= MAX_ERROR_RATE[clip["lang"]], text


def published() -> tuple[dict[str, dict[str, str]], list[list[AudioChunk]]]:
    """Return the rows of the clips by their files, and the chunks of each."""
    clips = {row["file"]: row for row in manifest() if row["file"] in CLIPS}
    return clips, [list(chunks(clip["file"], clip["lang"])) for clip in clips.values()]


def manifest() -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLES / "manifest.jsonl").read_text().splitlines()]


def chunks(file: str, language: str) -> Iterable[AudioChunk]:
    """Yield the chunks of a clip as a publisher sends them."""
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
    """Publish all streams concurrently, chunk by chunk."""
    for row in zip_longest(*streams):
        for chunk in filter(None, row):
            await publisher.send(chunk)
    await publisher.flush()


async def read_until(
    reading: AsyncIterator[AnyEvent], events: list[AnyEvent], kind: type[AnyEvent], count: int
) -> None:
    """Append events until `count` of a kind have been read."""
    while count:
        event = await anext(reading)
        events.append(event)
        count -= isinstance(event, kind)


def transcript(events: list[AnyEvent], stream_id: str) -> list[TranscriptFinal]:
    """Return a stream's finals after checking that its one session has each event once."""
    of_stream = [event for event in events if event.stream_id == stream_id]
    assert len({event.session_id for event in of_stream}) == 1
    assert [event.index for event in of_stream] == list(range(len(of_stream)))
    return [event for event in of_stream if isinstance(event, TranscriptFinal)]
