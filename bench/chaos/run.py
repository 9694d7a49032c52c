"""Real brokers, real workers, real speech, and faults: is audio lost, or a word repeated?

The engine is an oracle that reads counters hidden in the lowest bits of the speech, so that every
sample is accounted for; detector and segmenter are the product's. Faults are drawn by a seed, each
proves that it fired, and the invariants of docs/guarantees.md are held against all that was said.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import pickle
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import options
from bench.chaos import measure
from bench.chaos.broken import Mistake
from bench.chaos.check import Invariant
from bench.chaos.faults import FAULTS, Fault
from bench.chaos.play import Outcome, run
from bench.chaos.stage import Play
from bench.machine import machine
from bench.progress import progress
from devstack.errors import DevstackError
from devstack.kafka import NODE_COUNTS
from evaluation.percentiles import percentile
from evaluation.report import Check, Figures, publish, table
from transport.arguments import positive

_SHOWN: Final = 12  # violations of each invariant
# Asked for by name alone. Behind damage on its only disk, a broker that is killed drops the rest.
_APART: Final = ("rolling", "corrupt-on-disk")
_DRAIN_S: Final = 180.0
_BROKEN_DRAIN_S: Final = 20.0  # it may never
_TAKEOVER_P50_S: Final = 13.0
_TAKEOVER_MAX_S: Final = 20.0
_COMMIT_P50_S: Final = 0.060
_ROLLING_P95_S: Final = 5.0


def main(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the brokers are killed on purpose
    console, play = Console(), _play(asked)
    folder = Path(tempfile.mkdtemp(prefix=f"streamscribe-chaos-{play.seed}-"))
    console.print(f"seed {play.seed}, logs in {folder}", highlight=False)
    try:
        with progress(console, play.seconds) as advance:
            outcome = asyncio.run(run(play, folder, advance))
    except* DevstackError as failed:
        console.print(f"bench: {first(failed)}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    report(console, outcome, folder)
    where = machine("int1" if play.names_samples else asked.dtype, asked.threads or 1)
    publish(console, asked.json, where, figures(play, outcome), checks(outcome))
    return 0


def first(error: BaseException) -> BaseException:
    """Of a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def report(console: Console, outcome: Outcome, folder: Path) -> None:
    """What fired, what broke; logs are kept where anything did."""
    console.print(_table(outcome))
    for line in _problems(outcome):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if outcome.verdict.violations or outcome.unwell:
        (folder / "evidence.pickle").write_bytes(pickle.dumps(outcome.evidence))
        console.print(f"logs, data and evidence are kept in {folder}", highlight=False)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _problems(outcome: Outcome) -> Iterator[str]:
    yield from (f"  not fired: {f.fault.name}: {f.told}" for f in outcome.fired if f.proof is None)
    yield from (f"  unwell: {told}" for told in outcome.unwell)
    for invariant in Invariant:
        found = outcome.verdict.of(invariant)
        yield from (f"  {invariant}: {each.told}" for each in found[:_SHOWN])
        if len(found) > _SHOWN:
            yield f"  {invariant}: ... {len(found)} in all"


def figures(play: Play, outcome: Outcome) -> Figures:
    arena, book = outcome.arena, outcome.arena.book
    took = measure.takeovers(arena.kills, book.seen)
    waits = measure.waits(book.sent, book.seen)
    fired = [each for each in outcome.fired if each.proof is not None]
    exits = Counter(e.code for slot in arena.slots for e in slot.exits)
    return {
        "seed": play.seed,
        "brokers": play.brokers,
        "workers": play.workers,
        "streams": play.streams,
        "partitions": play.partitions,
        "seconds": play.seconds,
        **outcome.verdict.counts,
        **{f"worker exits {code}": count for code, count in sorted(exits.items())},
        **{f"fired {name}": n for name, n in Counter(f.fault.name for f in fired).items()},
        "faults fired": len(fired),
        "faults not fired": len(outcome.fired) - len(fired),
        "kinds fired": len({each.fault.name for each in fired}),
        "takeovers": len(took),
        "takeover p50 s": percentile(took, 0.5),
        "takeover max s": max(took, default=None),
        "commit p50 s": outcome.commits.quantile(0.5),
        "commit p95 s": outcome.commits.quantile(0.95),
        "commits timed": outcome.commits.total,
        "final wait p50 s": percentile(waits, 0.5),
        "final wait p95 s": percentile(waits, 0.95),
        "final wait max s": max(waits, default=None),
    }


def checks(outcome: Outcome) -> Iterator[Check]:
    book = outcome.arena.book
    for invariant in Invariant:
        yield Check(invariant, len(outcome.verdict.of(invariant)), 0)
    yield Check("workers or publishers unwell", len(outcome.unwell), 0)
    if took := measure.takeovers(outcome.arena.kills, book.seen):
        yield Check("takeover p50 s", percentile(took, 0.5) or 0.0, _TAKEOVER_P50_S)
        yield Check("takeover max s", max(took), _TAKEOVER_MAX_S)
    if (commit := outcome.commits.quantile(0.5)) is not None:
        yield Check("commit p50 s", commit, _COMMIT_P50_S, required=False)
    rolled = [f for f in outcome.fired if f.fault.name == "rolling" and f.proof is not None]
    waits = [w for f in rolled for w in measure.waits(book.sent, book.seen, f.begin_s, f.end_s)]
    if waits:
        yield Check("rolling: final wait p95 s", percentile(waits, 0.95) or 0.0, _ROLLING_P95_S)


def _table(outcome: Outcome) -> object:
    shown = table("faults", "fault", "row", "fired", "of", "the last proof")
    for name, fault in FAULTS.items():
        tried = [each for each in outcome.fired if each.fault.name == name]
        proofs = [each.proof for each in tried if each.proof is not None]
        if tried:
            last = proofs[-1] if proofs else "-"
            shown.add_row(name, str(fault.row), str(len(proofs)), str(len(tried)), last)
    return shown


def _play(asked: argparse.Namespace) -> Play:
    worker = ["--engine", asked.engine, *(["--broken", asked.broken] if asked.broken else [])]
    return Play(
        brokers=asked.brokers,
        workers=asked.workers,
        streams=asked.streams,
        partitions=asked.partitions,
        seconds=60 * asked.minutes,
        faults=asked.faults,
        seed=asked.seed,
        data=asked.data,
        worker=tuple(worker),
        model=asked.model if asked.engine == "whisper" else "",
        long=asked.long,
        drain_s=_BROKEN_DRAIN_S if asked.broken else _DRAIN_S,
    )


def _faults(text: str) -> tuple[Fault, ...]:
    names = text.split(",")
    if text == "all":
        names = [name for name in FAULTS if name not in _APART]
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: there are all, none, {', '.join(FAULTS)}"
        )
    return tuple(FAULTS[name] for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = options.parser("chaos", __doc__)
    options.add_data(parser)
    options.add_model(parser)
    options.add_dtype(parser)
    parser.add_argument("--brokers", type=int, choices=NODE_COUNTS, default=3, help="(default: 3)")
    numbers = {"workers": 3, "streams": 24, "partitions": 6, "seed": 1}
    for name, default in numbers.items():
        parser.add_argument(
            f"--{name}", type=positive, default=default, metavar="N", help=f"(default: {default})"
        )
    parser.add_argument(
        "--minutes",
        type=options.above_zero,
        default=10.0,
        metavar="N",
        help="of faults (default: 10)",
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        default="all",
        metavar="LIST",
        help=f"all (default; without {', '.join(_APART)}), or names with commas between them",
    )
    parser.add_argument(
        "--engine",
        choices=("oracle", "whisper"),
        default="oracle",
        help="who transcribes (default: oracle); texts are checked with the oracle alone",
    )
    parser.add_argument(
        "--long", action="store_true", help="faults as long as the matrix says: minutes each"
    )
    parser.add_argument(
        "--broken",
        choices=[*map(str, Mistake)],
        help="break the worker on purpose, to see it caught",
    )
    return parser
