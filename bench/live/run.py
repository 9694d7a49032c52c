"""Real broker, real worker, streams at the pace of speech: how soon finals come, and how good.

talk     conversations of the folder's clips, speech 45 % of the time, silence between
long     its long recordings (longform_recipes.jsonl), beside the decode of each clip as a whole
silent   its clips in which nothing is said
overload three times --streams for a minute, then half of --streams for three: not unless asked for

A latency is that of a clip: from the end of its last silero segment, found offline in the clean
clip, to its final in the hands of a read_committed reader. Peers get the same streams, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import options
from bench.layouts import written
from bench.live import findings
from bench.live.capacity import Search
from bench.live.contestants import PEERS, Contestant, naive, ours, variants
from bench.live.findings import Findings
from bench.live.heard import Played
from bench.live.material import Material, material
from bench.live.performance import Plan, Programmes, find_capacity, perform, spoken_clips
from bench.live.programme import Programme
from bench.live.stage import stage
from bench.live.whole import whole_texts
from bench.machine import machine
from bench.progress import progress
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.errors import ConfigError, SttError
from consumer.inference.checkpoint import load
from consumer.inference.device import choose, usable_cores
from consumer.inference.vocabulary import Vocabulary
from devstack.demo import first
from devstack.kafka_jars import class_path
from evaluation.report import publish
from producer.errors import PublishError
from transport.arguments import positive

ACTS: Final = ("talk", "long", "silent", "overload")
SCORED: Final = ("talk", "long")  # of these what is written is held to the decode of whole clips


def main(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters becomes our one line
    console = Console()
    try:
        _run(asked, console)
    except* (SttError, PublishError) as failed:
        error = first(failed)
        if isinstance(error, ConfigError):
            raise error from None
        console.print(f"bench: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    return 0


def _run(asked: argparse.Namespace, console: Console) -> None:
    peers = variants(asked.peer)
    threads = asked.threads or usable_cores()
    class_path()  # fetched outside the event loop, where Ctrl-C ends a download
    resolved = options.weights(asked.model, console)
    checkpoint = load(resolved.path, sha256=resolved.sha256)
    known = Vocabulary(checkpoint.dims.n_vocab, checkpoint.dims.n_text_ctx).language_tokens
    console.print(f"seed {asked.seed}", highlight=False)
    heard = material(asked.data, frozenset(known) or {"en"})
    common = {"threads": str(threads), "endpoint_ms": str(asked.endpoint_ms)}
    with ExitStack() as held:
        weights = held.enter_context(written(resolved.path, checkpoint, peers))
        del checkpoint
        contestants = [ours(common | {"model": str(resolved.path), "dtype": asked.dtype})]
        if weights.ctranslate2 is not None:
            contestants.append(naive(common | {"model": str(weights.ctranslate2)}))
        folder = Path(tempfile.mkdtemp(prefix="streamscribe-live-"))
        bench = _Bench(asked, console, _plan(asked), heard, contestants, folder)
        found = bench.capacity() if asked.find_capacity else bench.acts(resolved.path, threads)
    shutil.rmtree(folder)  # after an error its logs are named, and stay
    for table in found.tables:
        console.print(table)
    where = machine(choose("cpu", asked.dtype).numbers, threads) | {"model": resolved.name}
    told = {"seed": asked.seed, "pace": asked.pace, "endpoint_ms": asked.endpoint_ms}
    publish(console, asked.json, where | told, found.figures, found.checks)


def _plan(asked: argparse.Namespace) -> Plan:
    return Plan(
        streams=asked.streams,
        seconds=asked.probe_s if asked.find_capacity else 60 * asked.minutes,
        pace=asked.pace,
        partials=asked.partials == "on",
        noise_db=asked.noise,
        seed=asked.seed,
        warm_up_s=asked.warm_up_s,
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """One call of the command."""

    asked: argparse.Namespace
    console: Console
    plan: Plan
    material: Material
    contestants: Sequence[Contestant]
    folder: Path  # for logs

    def acts(self, model: Path, threads: int) -> Findings:
        """Play them, then decode what was said as a whole, when the machine has nothing else to do.

        Raises DevstackError when nothing could be timed.
        """
        programmes = self._programmes()
        played = asyncio.run(self._played(programmes))
        scored = (acts.get(name, ()) for acts in programmes for name in SCORED)
        clips = spoken_clips(programme for act in scored for programme in act)
        with progress(self.console, sum(len(c.samples) for c in clips) / WHISPER_RATE) as advance:
            whole = whole_texts(model, self.asked.dtype, threads, clips, advance)
        return findings.of_acts(played, self.material.long, whole, self.plan.warm_up_s)

    def capacity(self) -> Findings:
        searches = asyncio.run(self._searched())
        return findings.of_capacity(searches, self.asked.limit_s)

    def _programmes(self) -> list[dict[str, list[Programme]]]:
        """By round: what is played by everybody; what is no conversation in the first alone."""
        made = Programmes(self.material, self.plan)
        rounds = [
            {"talk": made.talk(f"talk-{number}", self.plan.streams, self.plan.seconds)}
            for number in range(self.asked.rounds)
        ]
        rounds[0] |= {"long": made.long(), "silent": made.silent(), "overload": made.overload()}
        asked = self.asked.acts
        return [{n: act for n, act in each.items() if n in asked and act} for each in rounds]

    async def _played(
        self, rounds: Sequence[dict[str, list[Programme]]]
    ) -> dict[str, dict[str, list[Played]]]:
        found: dict[str, dict[str, list[Played]]] = {c.name: {} for c in self.contestants}
        plan = self.plan
        audio_s = sum(max(p.seconds for p in act) for acts in rounds for act in acts.values())
        with progress(self.console, len(self.contestants) * audio_s / plan.pace) as advance:
            async with stage(self.folder) as place:
                for acts in rounds:
                    for each in self.contestants:
                        played = await perform(place, each, [*acts.values()], plan, advance)
                        for name, one in zip(acts, played, strict=True):
                            found[each.name].setdefault(name, []).append(one)
        return found

    async def _searched(self) -> dict[str, Search]:
        made = Programmes(self.material, self.plan)
        async with stage(self.folder) as place:
            return await find_capacity(
                place, self.contestants, made, self.plan, self.asked.limit_s, self._tell
            )

    def _tell(self, line: str) -> None:
        self.console.print(line, highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = options.parser("live", __doc__)
    options.add_data(parser)
    options.add_model(parser)
    options.add_dtype(parser)
    options.add_rounds(parser)
    parser.set_defaults(rounds=1)
    many = options.listed(options.one_of(*ACTS))
    parser.add_argument("--peer", choices=PEERS, help="beside whom (default: nobody)")
    parser.add_argument(
        "--acts",
        type=many,
        default=ACTS[:-1],
        metavar="NAME,...",
        help=f"of {', '.join(ACTS)} (default: all but the last)",
    )
    parser.add_argument(
        "--partials", choices=("on", "off"), default="off", help="interim results (default: off)"
    )
    parser.add_argument(
        "--find-capacity",
        action="store_true",
        help="instead of the acts: the most streams, from --streams on, with p95 <= --limit-s",
    )
    for flag, kind, default, told in _NUMBERS:
        parser.add_argument(
            f"--{flag}",
            type=kind,
            default=default,
            metavar="N",
            help=f"{told} (default: {default})",
        )
    return parser


_NUMBERS: Final = (
    ("streams", positive, 8, "that speak at once"),
    ("minutes", options.above_zero, 6.0, "of conversation a round"),
    ("pace", options.above_zero, 1.0, "seconds of audio a second"),
    ("noise", float, None, "signal to noise in dB, of real noise under all of it"),
    ("endpoint-ms", positive, 500, "silence that ends an utterance, ms"),
    ("warm-up-s", float, 15.0, "at the beginning of a conversation, that is not timed"),
    ("limit-s", options.above_zero, 1.5, "of the p95 with which streams are counted"),
    ("probe-s", options.above_zero, 90.0, "of each try of a number of streams, at least"),
    ("seed", int, 1, "of clips, their order and silences"),
)
