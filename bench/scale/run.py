"""How many live streams the ingest workers carry: a real broker, real workers, a stub engine.

Streams repeat clips of real speech, 45 % of it speech, in records of 100 ms; a stub in place of the
model sleeps for set service times and answers with recorded texts. All runs on this machine: the
broker, the workers, and the publisher and reader, whose processor time is a figure of its own.

    cpu      of the workers per second of one stream, by part: ingest is all but the stub engine
    added    from the record with which the end of an utterance is certain, until a read_committed
             reader has its final; the silence that ends an utterance is no part of it
    memory   resident memory of the workers since they were ready, per stream
    lag      by how much the event loop of a worker is late
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.framework import (
    Advance,
    BenchContext,
    Findings,
    above_zero,
    add_data,
    add_numbers,
    list_of,
    machine,
)
from bench.host.looped_speech import looped
from bench.quality.recordings import spoken_samples
from bench.scale.figures import checks, figures
from bench.scale.measured_load import ScaleResult, ScaleRun, measured_load
from bench.scale.speech_load import SpokenClip, spoken_clip
from consumer.detection import cascade
from consumer.inference.device import set_threads
from consumer.settings import Detector
from devstack.kafka import LocalKafka
from devstack.kafka_jars import class_path
from evaluation.report import Figures
from transport.arguments import positive

TALK: Final = 0.45  # share of speech
_WORDS: Final = 400  # of the recorded text


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--streams",
        type=list_of(positive),
        default=(50, 200, 500, 1_000, 2_000),
        metavar="N,...",
        help="live at once, one measurement each (default: 50 to 2000)",
    )
    parser.add_argument(
        "--engine", choices=("stub",), default="stub", help="that decodes (default: stub)"
    )
    parser.add_argument("--partials", choices=("on", "off"), default="off", help="(default: off)")
    add_data(parser)
    add_numbers(
        parser,
        ("ingest", positive, 2, "worker processes"),
        ("minutes", above_zero, 1.0, "measured for each number of streams"),
        ("warm-up-s", above_zero, 10.0, "before, with all streams"),
        ("clips", positive, 8, "different ones"),
        ("batch-ms", above_zero, 15.0, "service time of a batch, ms"),
        ("row-ms", above_zero, 1.0, "and of each of its rows, ms"),
    )


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    class_path()  # a download of Kafka is done outside the event loop, where Ctrl-C ends it
    set_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="streamscribe-scale-"))
    clips, text = _clips(asked)
    with context.progress(len(asked.streams)) as advance:
        results = asyncio.run(_measure(asked, clips, text, folder, advance))
    shutil.rmtree(folder)  # kept after an error, whose message names a log in it
    found: Figures = {"talk_share": round(sum(c.speech_share for c in clips) / len(clips), 2)}
    for result in results:
        found |= figures(result)
    options = {name: getattr(asked, name) for name in ("ingest", "minutes", "partials")}
    service = {"batch_ms": asked.batch_ms, "row_ms": asked.row_ms}
    return Findings(found, checks(results, found), machine("none", 1, **options, **service))


def _clips(asked: argparse.Namespace) -> tuple[list[SpokenClip], str]:
    """Return the repeated clips, and their words."""
    scorer = cascade.load(Detector.CASCADE)
    seconds = asked.warm_up_s + asked.minutes * 60
    samples = spoken_samples(asked.data)[: asked.clips]
    spoken = [
        spoken_clip(looped(clip, clip.seconds * (1 / TALK - 1)), seconds, scorer)
        for clip in samples
    ]
    words = " ".join(clip.reference for clip in samples).split()[:_WORDS]
    return spoken, " ".join(words)


async def _measure(
    asked: argparse.Namespace,
    clips: Sequence[SpokenClip],
    text: str,
    folder: Path,
    advance: Advance,
) -> list[ScaleResult]:
    results = []
    times = ("--batch-ms", str(asked.batch_ms), "--row-ms", str(asked.row_ms))
    for streams in asked.streams:
        scale = ScaleRun(
            streams=streams,
            workers=asked.ingest,
            seconds=asked.minutes * 60,
            warm_up_s=asked.warm_up_s,
            partials=asked.partials == "on",
            worker=(*times, "--text", text),
        )
        async with LocalKafka() as kafka:  # a new one each: its log takes GB
            results.append(await measured_load(kafka, scale, clips, folder))
        advance(1, f"{streams} streams")
    return results
