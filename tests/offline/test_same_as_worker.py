"""A file has the finals that a worker publishes for it: texts, words, times, verdicts.

Each utterance is decoded alone, because the products of a batch round differently.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from containers import SAMPLES

from devstack.kafka import LocalKafka
from devstack.worker_process import WorkerProcess
from producer.conversion import Converter, wire_format
from producer.media import open_file
from producer.publisher import AudioPublisher
from producer.stream import OutgoingStream, PublishOptions
from schemas.audio import AudioCodec, StreamOptions
from schemas.topics import Topics
from schemas.transcript import StreamEnded, TranscriptFinal
from streamscribe import Transcriber
from subscriber.reader import TranscriptReader
from transport.environment import variable

CLIPS = ("en_jfk", "en_phone_call", "zh_aishell_subsidy")
ALONE = {"batch_rows": "1", "dtype": "fp32"}
DECIDED = ("start_sample", "end_sample", "text", "language", "end_reason")


@pytest.mark.whisper
async def test_a_file_has_the_finals_of_a_worker(
    kafka: LocalKafka,
    topics: Topics,
    base_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in ALONE.items():
        monkeypatch.setenv(variable(name), text)  # the worker inherits it
    settings = {
        "bootstrap": kafka.bootstrap,
        "prefix": topics.prefix,
        "model": str(base_weights),
        "language": "auto",
    }
    published: dict[str, list[TranscriptFinal]] = defaultdict(list)
    async with (
        asyncio.timeout(180),
        AudioPublisher(kafka.bootstrap, topics.audio_bulk) as publisher,
        TranscriptReader(kafka.bootstrap, topics.transcripts) as reader,
        WorkerProcess(settings, tmp_path / "worker.log"),
    ):
        for clip in CLIPS:
            await publish(publisher, clip)
        ended = 0
        async for event in reader:
            if isinstance(event, TranscriptFinal):
                published[event.stream_id].append(event)
            ended += isinstance(event, StreamEnded)
            if ended == len(CLIPS):
                break
    transcripts = await asyncio.to_thread(transcribe, base_weights)
    for clip, finals in zip(CLIPS, transcripts, strict=True):
        assert decided(finals) == decided(published[clip])


def transcribe(weights: Path) -> list[list[TranscriptFinal]]:
    with Transcriber(str(weights)) as transcriber:
        transcripts = transcriber.transcribe_all(SAMPLES / f"{clip}.flac" for clip in CLIPS)
        return [
            [event for event in transcript.events if isinstance(event, TranscriptFinal)]
            for transcript in transcripts
        ]


def decided(finals: Iterable[TranscriptFinal]) -> list[tuple[object, ...]]:
    """Return what does not depend on when and with which others an utterance is decoded."""
    return [
        (
            *(getattr(final, name) for name in DECIDED),
            final.quality.verdict,
            final.quality.reasons,
            [(word.text, word.start_s, word.end_s) for word in final.words or ()],
        )
        for final in finals
    ]


async def publish(publisher: AudioPublisher, clip: str) -> None:
    """Publish a file as `streamscribe publish --fast` does."""
    options = PublishOptions(AudioCodec.PCM_S16LE, 100, realtime=False, options=StreamOptions())
    with open_file(SAMPLES / f"{clip}.flac", asyncio.Semaphore()).reading(lambda: False) as audio:
        wire = wire_format(audio.format, AudioCodec.PCM_S16LE)
        converter, stream = Converter(audio.format, wire), OutgoingStream(clip, wire, options)
        for block in audio.blocks:
            for timed in stream.push(converter.convert(block)):
                await publisher.send(timed.chunk)
        for timed in stream.push(converter.finish()):
            await publisher.send(timed.chunk)
        await publisher.send(stream.finish().chunk)
    await publisher.flush()
