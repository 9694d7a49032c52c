"""Whether folding keeps the texts of some weights: folded against padded, one attempt a clip.

If it passes, the weights' sha256 is recorded, and `fold=auto` folds them. If it is refused, nothing
is recorded: the upper end of the 95 % interval (paired bootstrap over clips) costs too much in some
language, or the clips are too few. `--break no-bias` leaves out the fold's attention bias: that
has to be refused, which shows that the check can fail; it never records anything.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from bench.checkpoints import languages, requested_checkpoint, use_requested_threads
from bench.engine.engines.streamscribe import StreamscribeEngine
from bench.framework import (
    Advance,
    BenchContext,
    Findings,
    add_clips,
    add_decoding,
    machine,
)
from bench.quality.bootstrap import paired
from bench.quality.recordings import (
    SCORED,
    Recording,
    batches,
    by_language,
    evenly_by_language,
    recordings,
    scores,
)
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.device import Device, choose
from consumer.inference.fold import Fold, Folding, folded
from evaluation.report import Check, Figures, Sense
from evaluation.scoring import Score, total
from weights import fold_record
from weights.fold_record import FoldRecord, LanguageCheck

BATCH: Final = 8


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    threads = use_requested_threads(context)
    _, checkpoint = requested_checkpoint(context)
    scored = languages(checkpoint) & {*SCORED}
    clips = evenly_by_language(recordings(asked.data, scored), asked.clips)
    device, folding = choose("auto", asked.dtype), BREAKS.get(asked.broken, folded)
    record = checked(context, checkpoint, device, clips, folding)
    folder = asked.record or fold_record.own_folder(os.environ)
    return Findings(
        figures(record),
        [*checks(record)],
        measured_on=machine(record.dtype, threads, model=checkpoint.name),
        notes=[conclude(record, folder, broken=asked.broken is not None)],
    )


def checked(
    context: BenchContext,
    checkpoint: Checkpoint,
    device: Device,
    clips: Sequence[Recording],
    folding: Folding,
) -> FoldRecord:
    """Compare folded with padded texts of the clips."""
    with context.progress(2 * sum(clip.seconds for clip in clips)) as advance:
        padded, cut = (
            _scores(
                StreamscribeEngine(checkpoint, device, fold=fold, folding=folding), clips, advance
            )
            for fold in (False, True)
        )
    compared = {
        language: _compared([padded[i] for i in at], [cut[i] for i in at])
        for language, at in by_language(clips).items()
    }
    return FoldRecord(checkpoint.sha256, checkpoint.name, device.numbers, compared)


def _scores(
    engine: StreamscribeEngine, clips: Sequence[Recording], advance: Advance
) -> list[Score]:
    texts: list[str] = []
    for batch in batches(clips, BATCH):
        samples, codes = [clip.samples for clip in batch], [clip.language for clip in batch]
        texts += [each.text for each in engine.transcribe(samples, codes, words=False)]
        advance(sum(clip.seconds for clip in batch), batch[0].language)
    return scores(clips, texts)


def _compared(padded: Sequence[Score], cut: Sequence[Score]) -> LanguageCheck:
    difference = paired(cut, padded)
    return LanguageCheck(
        clips=len(padded),
        padded_percent=100 * total(padded).rate,
        folded_percent=100 * total(cut).rate,
        low_points=difference.low_points,
        high_points=difference.high_points,
    )


def unbiased(samples: int) -> Fold:
    """Return a fold in which a kept tail position counts once, however many it stands for."""
    fold = folded(samples)
    return replace(fold, counts=np.ones_like(fold.counts), bias=np.zeros_like(fold.bias))


BREAKS: Final[dict[str, Folding]] = {"no-bias": unbiased}


def figures(record: FoldRecord) -> Figures:
    found: Figures = {"weights_sha256": record.sha256}
    for language, one in record.languages.items():
        found |= {
            f"{language}.clips": one.clips,
            f"{language}.padded_percent": one.padded_percent,
            f"{language}.folded_percent": one.folded_percent,
            f"{language}.worse_low_points": one.low_points,
            f"{language}.worse_high_points": one.high_points,
        }
    return found


def checks(record: FoldRecord) -> Iterator[Check]:
    for language, one in record.languages.items():
        yield Check(f"{language}.clips", one.clips, fold_record.MIN_CLIPS, Sense.AT_LEAST)
        yield Check(f"{language}.worse_high_points", one.high_points, fold_record.LIMIT_POINTS)


def conclude(record: FoldRecord, folder: Path, *, broken: bool) -> str:
    """Record weights that have passed in a folder; return the conclusion."""
    if not record.passed:
        return "refused: nothing is recorded, and fold=auto decodes these weights padded"
    if broken:
        return "passed, although the fold is broken: these clips cannot show it, use other ones"
    return f"passed, recorded: {fold_record.write(record, folder)}"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_decoding(parser)
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="where to record (default: beside the weights)"
    )
    parser.add_argument(
        "--break",
        dest="broken",
        choices=tuple(BREAKS),
        help="break the fold on purpose, to see it refused",
    )
    add_clips(parser)
