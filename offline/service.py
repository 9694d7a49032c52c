"""Transcribe files by the worker's own pipeline, model and rules, without Kafka.

    reading, cutting (a thread per input) -> InputPartitions -> Pipeline -> engine
                                                  ^ events        |
                                                  '--- commits ---'

Back-pressure bounds the memory: an input is read no further than what the engine will need soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

from consumer.clock import SystemClock
from consumer.codecs.reader import RecordReader
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.scheduling.capacity import Backpressure
from consumer.core.streams.records import Lane, Partition
from consumer.detection import cascade
from consumer.detection.detector_thread import DetectorThread
from consumer.engine.transcriber_thread import Transcriber
from consumer.engine_service import info_of, local_engine, transcriber_thread
from consumer.interfaces import Shells, Timeouts
from consumer.metrics import Metrics
from consumer.model_loading import load_transcriber, warn_of_language
from consumer.pipeline import Pipeline
from consumer.policies import audio_rules, policies
from consumer.settings import Settings
from offline.cutting import RecordCutter
from offline.input_log import InputLog
from offline.shells import InputPartitions, NoBroadcast
from offline.transcript import Transcript
from producer.media import BlockingInput
from producer.naming import valid_id
from schemas.audio import StreamOptions
from schemas.topics import MAX_STREAM_ID_CHARACTERS
from transport.errors import first_error

TOPIC: Final = "files"  # of the partitions, in events
QUEUE_S: Final = 240.0  # of speech that waits for the model: several batches to choose from
READ: Final = 8  # inputs at the same time: the detector scores their windows in one call
IN_FLIGHT: Final = 128  # inputs that are read or wait for their last texts; callers start no more
TIMEOUTS: Final = Timeouts(coalesce_s=0.02, progress_s=0.5, retry_s=0.1, halt_s=1.0, drain_s=60.0)


class OfflineService:
    """Transcribes inputs, many at the same time: their utterances form batches together."""

    def __init__(self, inputs: InputPartitions) -> None:
        self._inputs = inputs
        self._numbers = count()
        self._reading = asyncio.Semaphore(READ)
        self._stop = asyncio.Event()
        self._error: BaseException | None = None

    async def transcribe(
        self,
        source: BlockingInput,
        options: StreamOptions = StreamOptions(),  # noqa: B008 - frozen
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> Transcript:
        """Return the transcript of an input; `problems` of one that cannot be read to its end.

        `on_progress` is called with the seconds of audio that are transcribed.
        Raises MediaError, TranscriptionError, ValueError (options), and what ended the pipeline.
        """
        if self._error is not None:
            raise self._error
        log = InputLog(Partition(TOPIC, next(self._numbers)), on_progress)
        self._inputs.add(log)
        try:
            cutter = RecordCutter(source, log.partition, stream_id(source.name), options)
            async with self._reading, cutter:
                while not log.ended.done() and (records := await cutter.next()):
                    log.append(records)
                    self._inputs.notify()
                    await log.wait_for_room()
            await log.ended
        finally:
            self._inputs.remove(log)
            log.close()
        problems = (*((cutter.problem,) if cutter.problem else ()), *log.problems)
        warnings = (*((cutter.warning,) if cutter.warning else ()), *log.warnings)
        return Transcript(source.name, cutter.seconds, tuple(log.events), problems, warnings)

    async def run(self, pipeline: Pipeline) -> None:
        """Run the pipeline until `close`. Its error becomes that of every input."""
        try:
            await pipeline.run(self._stop)
        except BaseException as error:
            self._error = first_error(error)
            for log in self._inputs.logs:
                log.fail(self._error)
            raise

    def close(self) -> None:
        self._stop.set()
        self._inputs.notify()


@asynccontextmanager
async def serving(
    settings: Settings, load: Callable[[Settings], Transcriber] = load_transcriber
) -> AsyncIterator[OfflineService]:
    """Load the models and yield the service. Raises `ConfigError`, `DeviceLost`.

    What ends the pipeline cancels the body and is raised, within an exception group.
    """
    transcriber = await asyncio.to_thread(load, settings)
    scorer = await asyncio.to_thread(cascade.load, settings.detector)
    warn_of_language(settings, info_of(transcriber))
    metrics, inputs = Metrics(), InputPartitions()
    # The detector first, as in a worker: the number of torch's threads set last is the model's.
    async with (
        DetectorThread(scorer) as detector,
        transcriber_thread(settings, transcriber) as model,
        asyncio.TaskGroup() as group,
    ):
        shells = Shells(
            source=inputs,
            codecs=RecordReader(CodecSandbox(), audio_rules(settings)),  # all records are raw
            detector=detector,
            engine=local_engine(settings, model, metrics),
            store=inputs,
            broadcast=NoBroadcast(),
            clock=SystemClock(),
        )
        pipeline = Pipeline(
            shells,
            policies(settings, info_of(transcriber), scorer.segmenter),
            {lane: Backpressure(QUEUE_S, QUEUE_S / 2) for lane in Lane},
            timeouts=TIMEOUTS,
            metrics=metrics,
        )
        service = OfflineService(inputs)
        group.create_task(service.run(pipeline), name="pipeline")
        yield service
        service.close()


def stream_id(name: str) -> str:
    """Return the id of the stream of an input of this name."""
    return valid_id(Path(name).stem)[:MAX_STREAM_ID_CHARACTERS]
