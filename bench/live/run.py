"""Real broker, real worker, streams in real time: latency of finals, and their error rates.

talk      conversations of the folder's clips, 45 % speech, silence between clips
long      its long recordings (longform_recipes.jsonl), beside the decode of each clip as a whole
silent    its clips without speech
overload  three times --streams for a minute, then half of --streams for three; only if asked for

The latency of a clip is the time from the end of its last segment of speech, found by silero-vad
offline in the clean clip, until a read_committed reader has its final. A peer gets the same
streams, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from bench import framework
from bench.checkpoints import languages, requested_checkpoint, requested_threads
from bench.engine.layouts import written
from bench.framework import BenchContext, Findings, above_zero
from bench.live.capacity import capacity_checks, capacity_figures
from bench.live.clips import ClipSet, load_clips, whole_texts
from bench.live.figures import all_checks, all_figures
from bench.live.runs import LiveRun
from bench.live.scenarios import SCENARIOS, ScenarioFactory, clips_to_compare
from bench.live.systems import PEERS, peer_engines, systems
from bench.quality.decoding import OfflineDecoder
from consumer.errors import ConfigError
from consumer.inference.device import choose
from devstack.kafka_jars import class_path
from evaluation.report import Check, Figures
from transport.arguments import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    framework.add_decoding(parser)
    parser.add_argument("--peer", choices=PEERS, help="another system to measure (default: none)")
    parser.add_argument(
        "--scenarios",
        type=framework.list_of(framework.one_of(*SCENARIOS)),
        default=SCENARIOS[:-1],
        metavar="NAME,...",
        help=f"of {', '.join(SCENARIOS)} (default: all but the last)",
    )
    parser.add_argument(
        "--partials", choices=("on", "off"), default="off", help="interim results (default: off)"
    )
    parser.add_argument(
        "--find-capacity",
        action="store_true",
        help="instead of scenarios: the most streams, from --streams on, with p95 <= --limit-s",
    )
    parser.add_argument(
        "--noise",
        type=float,
        metavar="DB",
        help="signal to noise ratio of recorded noise under all streams (default: no noise)",
    )
    framework.add_numbers(
        parser,
        ("rounds", positive, 1, "of conversations, counted together"),
        ("streams", positive, 8, "at once"),
        ("minutes", above_zero, 6.0, "of conversation per round"),
        ("pace", above_zero, 1.0, "seconds of audio a second"),
        ("endpoint-ms", positive, 500, "silence that ends an utterance, ms"),
        ("warm-up-s", float, 15.0, "start of a conversation that is not timed, s"),
        ("limit-s", above_zero, 1.5, "of the p95 for --find-capacity, s"),
        ("probe-s", above_zero, 90.0, "shortest try of a number of streams, s"),
        ("seed", int, 1, "of clips, their order and silences"),
    )


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    engines = peer_engines(asked.peer)
    class_path()  # a download of Kafka is done outside the event loop, where Ctrl-C ends it
    path, checkpoint = requested_checkpoint(context)
    model = checkpoint.name
    context.print(f"{asked.data}: finding speech in the clips")
    with_long = "long" in asked.scenarios and not asked.find_capacity
    clips = load_clips(asked.data, languages(checkpoint), long=with_long)
    threads = requested_threads(context)
    with written(path, checkpoint, engines) as weights, _log_folder() as folder:
        del checkpoint
        measured = systems(asked, threads, path, weights.ctranslate2)
        measure = _capacity if asked.find_capacity else _scenarios
        figures, checks = measure(LiveRun(context, measured, folder), clips)
    options = {"seed": asked.seed, "pace": asked.pace, "endpoint_ms": asked.endpoint_ms}
    dtype = choose(dtype=asked.dtype).numbers
    measured_on = framework.machine(dtype, threads, model=model, **options)
    return Findings(figures, checks, measured_on)


@contextmanager
def _log_folder() -> Iterator[Path]:
    """Yield a folder, which is kept after an error, whose message names a log in it."""
    folder = Path(tempfile.mkdtemp(prefix="streamscribe-live-"))
    has_failed = False
    try:
        yield folder
    except Exception:
        has_failed = True
        raise
    finally:
        if not has_failed:
            shutil.rmtree(folder)


Measured: TypeAlias = tuple[Figures, Sequence[Check]]


def _scenarios(live: LiveRun, clips: ClipSet) -> Measured:
    """Play all scenarios; decode whole clips afterwards, when the machine is idle."""
    asked, factory = live.context.arguments, ScenarioFactory(clips, live.context.arguments)
    rounds = [scenarios for n in range(asked.rounds) if (scenarios := factory.round(n))]
    if not rounds:
        problem = f"{asked.data}: no clips for --scenarios {','.join(asked.scenarios)}"
        raise ConfigError(f"{problem}; name another scenario or another folder")
    observed = asyncio.run(live.play(rounds))
    compared = clips_to_compare(rounds)
    whole = whole_texts(OfflineDecoder.load(live.context), compared) if compared else {}
    figures = all_figures(observed, whole, asked.warm_up_s)
    return figures, [*all_checks(figures)]


def _capacity(live: LiveRun, clips: ClipSet) -> Measured:
    asked = live.context.arguments
    searches = asyncio.run(live.find_capacity(ScenarioFactory(clips, asked)))
    return capacity_figures(searches), [*capacity_checks(searches)]
