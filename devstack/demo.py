"""`streamscribe demo`: transcribe recordings with a real Kafka broker and a real Whisper.

weights -> broker -> topics -> worker -> all samples published at once, at the pace of speech
-> finals printed as a reader receives them -> figures, checks
"""

from __future__ import annotations

import argparse
import asyncio
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
from producer.media import max_open_files, open_file
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
from transport.console import PipeConsole, silence_client_log
from transport.errors import TransportError, first_error
from transport.topic_reader import ReaderError
from weights.errors import WeightsError
from weights.resolve import resolve_here

DEFAULT_MODEL: Final = "base"  # multilingual, 145 MB
_PARTITIONS: Final = 4
_CHUNK_MS: Final = 100
_TIMEOUT_S: Final = 60.0  # after the last sample was published


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    silence_client_log()
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
        failed = first_error(group)
    finally:
        if failed is None:  # otherwise the message may refer to it
            log_file.unlink(missing_ok=True)
    if failed is not None:
        sys.stderr.write(f"streamscribe demo: {failed}\n")
        return 1
    return 0 if passed else 1


def run(options: argparse.Namespace, console: Console, log_file: Path) -> bool:
    """Run the demo, print its results, and return whether all required checks passed."""
    phases = Phases(console)
    samples = load_samples()
    # Outside the event loop, where Ctrl-C interrupts a download at once.
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
    """Measures the phases of the demo and prints the duration of each when it ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 2)
        self.console.print(f"{name:8}{self.seconds[name]:5.1f} s")


def fetch_weights(model: str) -> None:
    resolve_here(model, os.environ, Console(stderr=True))


async def serve(
    samples: Sequence[SampleClip], model: str, phases: Phases, log_file: Path
) -> list[Received]:
    """Start a broker and a worker, transcribe the samples, and return what a reader received."""
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
            return await transcribe(kafka.bootstrap, worker, samples, captions)


async def transcribe(
    bootstrap: str, worker: WorkerProcess, samples: Sequence[SampleClip], captions: Captions
) -> list[Received]:
    """Publish all samples at once at the pace of speech; print and return the events."""
    async with (
        TranscriptReader(bootstrap) as reader,
        AudioPublisher(bootstrap) as publisher,
        asyncio.TaskGroup() as group,
    ):
        watching = group.create_task(worker.watch())
        group.create_task(publish(publisher, samples))
        received = await receive(reader, samples, captions)
        watching.cancel()
    return received


async def publish(publisher: AudioPublisher, samples: Sequence[SampleClip]) -> None:
    turns = asyncio.Semaphore(max_open_files())
    inputs = [InputStream(sample.stream_id, open_file(sample.path, turns)) for sample in samples]
    context = PublishContext(publisher.send, RealtimeClock(), asyncio.Event(), FailureReporter())
    options = PublishOptions(
        AudioCodec.PCM_S16LE, _CHUNK_MS, realtime=True, options=StreamOptions()
    )
    await publish_streams(inputs, options, context)


class FailureReporter:
    """Raises failures and ignores progress, which the printed transcripts show."""

    def started(self, item: InputStream) -> None: ...

    def advanced(self, item: InputStream, seconds: float) -> None: ...

    def ended(self, item: InputStream, seconds: float, records: int) -> None: ...

    def warned(self, item: InputStream, warning: str) -> None: ...

    def failed(self, item: InputStream, reason: str) -> None:
        raise DevstackError(f"{item.stream_id}: {reason}")


async def receive(
    reader: TranscriptReader, samples: Sequence[SampleClip], captions: Captions
) -> list[Received]:
    """Print and return the events until every stream has ended, or until the timeout."""
    received: list[Received] = []
    open_streams = {sample.stream_id for sample in samples}
    with suppress(TimeoutError):
        async with asyncio.timeout(max(sample.seconds for sample in samples) + _TIMEOUT_S):
            async for event in reader:
                received.append(Received(event, time.time_ns() // 1_000_000))
                captions.show(event)
                if isinstance(event, StreamEnded):
                    open_streams.discard(event.stream_id)
                if not open_streams:
                    break
    return received


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe demo",
        description="Start Kafka and a worker, publish the samples at the pace of speech, print "
        "their transcripts, and check their error rates.",
        epilog="Exit codes: 0 every stream ended with error rates within the limits; 1 otherwise.",
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="Whisper weights by name or path (%(default)s)"
    )
    parser.add_argument(
        "--json", type=writable, metavar="FILE", help="also write the figures and checks to FILE"
    )
    return parser


def writable(text: str) -> Path:
    path = Path(text)
    try:
        path.open("ab").close()  # fail now, not after a minute of work
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error
    return path
