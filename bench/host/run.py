"""The processor time of a worker beside the model and the detector, on one core.

    ingest    the event loop: records in, finals out
    model     the model's thread: jobs in, texts out, with a null model

Ingest reads streams of real speech at the pace of live publishers: a poll every 50 ms, each record
of 100 ms in a batch of its own, with `seq`, `start` and `captured_ms`; every second stream asks for
partials. The scores were recorded before, and the texts are the clips' own words, with times. Texts
of likely finals come too late here, so that each final is settled by a step of its own.

    of a record   fetch       the guard's check of its batch, and aiokafka's record of it
                  window      the decode window, and its admission
                  read        its headers and samples
                  order       steps with records: their order, requests for scores
                  scores      steps with scores: utterances begin, are requested, end
                  tick        steps of polls: expiry
    of a final    acceptance  whether its text is decoded again (on the model's thread)
                  settle      steps with its text: assessment, rendering, its turn
                  commit      a commit with it, encoded
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final, NamedTuple

from bench.framework import Advance, BenchContext, Findings, add_data, list_of, machine, one_of
from bench.host import ingest, model_thread
from bench.host.host_part import PartFindings
from evaluation.report import Check, Figures


class _Part(NamedTuple):
    arguments: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[argparse.Namespace, Advance], PartFindings]


# A part is a module of this package: its flags, and its figures with a prefix of their own.
PARTS: Final = {
    "ingest": _Part(ingest.arguments, ingest.measure),
    "model": _Part(model_thread.arguments, model_thread.measure),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parts",
        type=list_of(one_of(*PARTS)),
        default=tuple(PARTS),
        metavar="NAMES",
        help=f"of {', '.join(PARTS)} (default: all)",
    )
    add_data(parser)
    for part in PARTS.values():
        part.arguments(parser)


def run(context: BenchContext) -> Findings:
    given = context.arguments
    figures: Figures = {}
    checks: list[Check] = []
    with context.progress(len(given.parts)) as advance:
        for name in given.parts:
            found = PARTS[name].measure(given, advance)
            figures |= found.figures
            checks += found.checks
    return Findings(figures, checks, machine("fp32", 1))
