"""`streamscribe demo`: real speech through a real Kafka and a real Whisper into transcripts.

weights -> broker -> topics -> worker -> all samples published at once, as they are spoken
-> finals printed as a reader gets them -> figures, checks
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console

from consumer.errors import SttError
from devstack.demo_report import (
    Received,
    checks,
    figures,
    results,
    table,
)
from devstack.errors import DevstackError
from devstack.kafka import LocalKafka
from devstack.kafka_jars import class_path
from devstack.worker_process import WorkerProcess
from evaluation.report import as_json
from evaluation.samples import SampleClip, SamplesMissing, load_samples
from producer.errors import PublishError
from producer.media import open_file
from producer.pacing import RealtimeClock
from producer.publish_streams import InputStream, PublishContext, publish_streams
from producer.publisher import AudioPublisher
from producer.stream import PublishOptions
from schemas.audio import AudioCodec, StreamOptions
from schemas.topics import Topics
from schemas.transcript import StreamEnded
from subscriber.captions import Captions
from subscriber.reader import TranscriptReader
from transport.cluster import create_topics
from transport.console import PipeConsole
from transport.errors import TransportError
from transport.topic_reader import ReaderError
from weights.errors import WeightsError
from weights.resolve import resolve_here

DEFAULT_MODEL: Final = "base"  # multilingual, 145 MB
_PARTITIONS: Final = 4
_CHUNK_MS: Final = 100
_PATIENCE_S: Final = 60.0  # after the last sample was spoken


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters becomes our one line
    log_file = Path(tempfile.gettempdir(), f"streamscribe-demo-{os.getpid()}.log")
    failed: BaseException | None = None
    try:
        passed = run(options, PipeConsole(highlight=False), log_file)
    except* (
        SttError,
        PublishError,
        ReaderError,
        SamplesMissing,
        TransportError,
        WeightsError,
    ) as group:
        failed = first(group)
    finally:
        if failed is None:  # else the message may name it
            log_file.unlink(missing_ok=True)
    if failed is not None:
        sys.stderr.write(f"streamscribe demo: {failed}\n")
        return 1
    return 0 if passed else 1


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The cause: what failed first made the rest fail."""
    error = group.exceptions[0]
    return first(error) if isinstance(error, BaseExceptionGroup) else error


def run(options: argparse.Namespace, console: Console, log_file: Path) -> bool:
    """Whether every promise was kept."""
    phases = Phases(console)
    samples = load_samples()
    # Outside the event loop, where Ctrl-C ends a download at once.
    with phases.phase("weights"):
        fetch_weights(options.model)
    with phases.phase("kafka"):
        class_path()
    received = asyncio.run(serve(samples, options.model, phases, log_file))
    with phases.phase("scores"):
        streams = results(samples, received)
    console.print(table(streams))
    checked = checks(streams)
    for check in checked:
        console.print(str(check))
    if options.json:
        measured = as_json(figures(streams, phases.seconds), checked)
        options.json.write_bytes(orjson.dumps(measured, option=orjson.OPT_INDENT_2))
    return all(check.ok for check in checked if check.required)


class Phases:
    """Tells how long each part took, as it ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 2)
        self.console.print(f"{name:8}{self.seconds[name]:5.1f} s")


def fetch_weights(model: str) -> None:
    resolve_here(model, os.environ, Console(stderr=True))


async def serve(
    samples: Sequence[SampleClip], model: str, phases: Phases, log_file: Path
) -> list[Received]:
    """All that a reader received, from a broker and a worker that live as long as this."""
    topics = Topics()
    async with AsyncExitStack() as stack:
        with phases.phase("broker"):
            kafka = await stack.enter_async_context(LocalKafka())
        with phases.phase("topics"):
            await create_topics(kafka.bootstrap, topics, partitions=_PARTITIONS)
        settings = {
            "bootstrap": kafka.bootstrap,
            "prefix": topics.prefix,
            "model": model,
            "language": "auto",
        }
        with phases.phase("worker"):
            worker = await stack.enter_async_context(WorkerProcess(settings, log_file))
        with phases.phase("speech"):
            captions = Captions(phases.console, streams=[s.stream_id for s in samples])
            return await converse(kafka.bootstrap, worker, samples, captions)


async def converse(
    bootstrap: str, worker: WorkerProcess, samples: Sequence[SampleClip], captions: Captions
) -> list[Received]:
    """Publish all samples at once, as they are spoken, and show what comes back."""
    async with (
        TranscriptReader(bootstrap) as reader,
        AudioPublisher(bootstrap) as publisher,
        asyncio.TaskGroup() as group,
    ):
        watching = group.create_task(worker.watch())
        group.create_task(speak(publisher, samples))
        received = await listen(reader, samples, captions)
        watching.cancel()
    return received


async def speak(publisher: AudioPublisher, samples: Sequence[SampleClip]) -> None:
    items = [InputStream(sample.stream_id, open_file(sample.path)) for sample in samples]
    stage = PublishContext(publisher.send, RealtimeClock(), asyncio.Event(), Unseen())
    manner = PublishOptions(AudioCodec.PCM_S16LE, _CHUNK_MS, realtime=True, options=StreamOptions())
    await publish_streams(items, manner, stage)


class Unseen:
    """Reports nothing but what went wrong: the transcripts are the progress."""

    def started(self, item: InputStream) -> None: ...

    def advanced(self, item: InputStream, seconds: float) -> None: ...

    def ended(self, item: InputStream, seconds: float, records: int) -> None: ...

    def failed(self, item: InputStream, reason: str) -> None:
        raise DevstackError(f"{item.stream_id}: {reason}")


async def listen(
    reader: TranscriptReader, samples: Sequence[SampleClip], captions: Captions
) -> list[Received]:
    """Until every stream has ended, or for as long as one should wait for that."""
    received: list[Received] = []
    speaking = {sample.stream_id for sample in samples}
    with suppress(TimeoutError):
        async with asyncio.timeout(max(sample.seconds for sample in samples) + _PATIENCE_S):
            async for event in reader:
                received.append(Received(event, time.time_ns() // 1_000_000))
                captions.show(event)
                if isinstance(event, StreamEnded):
                    speaking.discard(event.stream_id)
                if not speaking:
                    break
    return received


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe demo",
        description="Start Kafka and a worker, publish the samples as they are spoken, print "
        "their transcripts, and hold them against what is promised.",
        epilog="Exit codes: 0 every stream ended and its errors are within bounds, 1 not so.",
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="Whisper weights by name or path (%(default)s)"
    )
    parser.add_argument(
        "--json", type=writable, metavar="FILE", help="write figures and checks there as well"
    )
    return parser


def writable(text: str) -> Path:
    path = Path(text)
    try:
        path.open("ab").close()  # now, not after a minute of work
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error
    return path
