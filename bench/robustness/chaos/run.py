"""Real brokers, real workers, real speech, and faults: is audio lost, or a word repeated?

The engine is an oracle that reads counters hidden in the lowest bits of the speech, so that every
sample is accounted for; detector and segmenter are the product's. Faults are drawn by a seed, each
proves that it happened, and the invariants of docs/guarantees.md are checked on all that was
published.
"""

from __future__ import annotations

import argparse
import asyncio
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Final

from bench.framework import (
    BenchContext,
    Findings,
    above_zero,
    add_data,
    add_dtype,
    add_model,
    add_numbers,
    add_threads,
    machine,
)
from bench.robustness.chaos.environment import ChaosScenario, Fault
from bench.robustness.chaos.faults import FAULTS
from bench.robustness.chaos.figures import chaos_checks, chaos_figures, chaos_problems, chaos_table
from bench.robustness.chaos.planted_bugs import PlantedBug
from bench.robustness.chaos.scenario_run import run_scenario
from devstack.kafka import NODE_COUNTS, LocalKafka
from transport.arguments import positive

# Only by name. After damage on a broker's only disk, it drops what follows when it is killed.
_BY_NAME: Final = ("rolling", "corrupt-on-disk")
_DRAIN_S: Final = 180.0
_BUG_DRAIN_S: Final = 20.0  # a worker with a planted bug may never be done


def arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    add_model(parser)
    add_dtype(parser)
    add_threads(parser)
    parser.add_argument("--brokers", type=int, choices=NODE_COUNTS, default=3, help="(default: 3)")
    add_numbers(
        parser,
        ("workers", positive, 3, ""),
        ("streams", positive, 24, "ids that are published at a time"),
        ("partitions", positive, 6, ""),
        ("seed", positive, 1, "of streams and faults"),
        ("minutes", above_zero, 10.0, "of faults"),
    )
    parser.add_argument(
        "--rounds", type=positive, metavar="N", help="end once each fault was tried N times"
    )
    parser.add_argument(
        "--faults",
        type=fault_list,
        default="all",
        metavar="LIST",
        help=f"all (default; without {', '.join(_BY_NAME)}), none, or names with commas between",
    )
    _add_engine(parser)
    parser.add_argument(
        "--long",
        action="store_true",
        help="faults as long as the fault matrix states: minutes each",
    )
    parser.add_argument(
        "--planted-bug",
        type=PlantedBug,
        choices=[*PlantedBug],
        help="a bug in the workers, which has to be caught",
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=("oracle", "whisper"),
        default="oracle",
        help="what transcribes (default: oracle); texts are checked with the oracle alone",
    )
    parser.add_argument(
        "--engine-process",
        action="store_true",
        help="one engine process for all workers, and the faults of one",
    )


def run(context: BenchContext) -> Findings:
    """Run the scenario that the flags describe."""
    return asyncio.run(measure_scenario(context, scenario_of(context.arguments)))


async def measure_scenario(
    context: BenchContext, scenario: ChaosScenario, kafka: LocalKafka | None = None
) -> Findings:
    """Run a scenario; logs and evidence are kept where anything is wrong.

    `kafka`: a running `cluster`, or None for one of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"streamscribe-{scenario.name}-{scenario.seed}-"))
    context.print(f"seed {scenario.seed}, logs in {folder}")
    with context.progress(scenario.seconds) as advance:
        result = await run_scenario(scenario, folder, advance, kafka)
    notes = [*chaos_problems(result)]
    if result.verdict.is_clean and not result.problems:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        (folder / "evidence.pickle").write_bytes(pickle.dumps(result.evidence))
        notes.append(f"logs, data and evidence are kept in {folder}")
    dtype = context.arguments.dtype if scenario.model else "int1"
    return Findings(
        figures=chaos_figures(result),
        checks=list(chaos_checks(result)),
        measured_on=machine(dtype, context.arguments.threads or 1),
        tables=[chaos_table(result)],
        notes=notes,
    )


def scenario_of(args: argparse.Namespace) -> ChaosScenario:
    bug = args.planted_bug
    return ChaosScenario(
        data=args.data,
        seed=args.seed,
        streams=args.streams,
        workers=[f"W{number}" for number in range(1, args.workers + 1)],
        partitions=args.partitions,
        drain_s=_BUG_DRAIN_S if bug else _DRAIN_S,
        brokers=args.brokers,
        faults=args.faults,
        seconds=60 * args.minutes,
        rounds=args.rounds,
        worker=("--planted-bug", bug) if bug else (),
        engine=args.engine,
        engine_process=args.engine_process,
        model=args.model if args.engine == "whisper" else "",
        long=args.long,
    )


def fault_list(text: str) -> tuple[Fault, ...]:
    """Parse names of faults, "all" or "none"."""
    names = [] if text == "none" else text.split(",")
    if text == "all":
        names = [name for name in FAULTS if name not in _BY_NAME]
    if unknown := [name for name in names if name not in FAULTS]:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: there are all, none, {', '.join(FAULTS)}"
        )
    return tuple(FAULTS[name] for name in names)
