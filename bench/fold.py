"""Whether folding keeps what some weights write: folded against padded, one attempt a clip.

Passed, the weights' sha256 is recorded, and `fold=auto` folds them. Refused, nothing is recorded:
the upper end of the 95 % interval (paired bootstrap over clips) costs too much in some language, or
the clips are too few. `--break no-bias` leaves out the fold's attention bias: that must be refused,
which shows that the check can fail; it never records anything.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import options
from bench.bootstrap import paired
from bench.engines.ours import Ours
from bench.machine import machine
from bench.progress import Advance, progress
from bench.recordings import SCORED, Recording, batches, recordings, scores, thinned
from consumer.inference.checkpoint import Checkpoint, load
from consumer.inference.device import Device, choose, set_threads, usable_cores
from consumer.inference.fold import Fold, folded
from consumer.inference.vocabulary import Vocabulary
from evaluation.report import Check, Figures, Sense, publish, table
from evaluation.scoring import Score, total
from weights.fold_record import (
    LIMIT_POINTS,
    MIN_CLIPS,
    FoldRecord,
    LanguageCheck,
    own_folder,
    write,
)

BATCH = 8


def main(argv: Sequence[str]) -> int:
    asked = _parser().parse_args(argv)
    console = Console()
    threads = asked.threads or usable_cores()
    set_threads(threads)
    resolved = options.weights(asked.model, console)
    checkpoint = load(resolved.path, sha256=resolved.sha256)
    device = choose("auto", asked.dtype)
    clips = _clips(asked, checkpoint)
    record = _checked(checkpoint, device, clips, console, broken=asked.broken is not None)
    console.print(_table(record))
    where = machine(record.dtype, threads) | {"model": checkpoint.name}
    publish(console, asked.json, where, figures(record), checks(record))
    console.print(_verdict(record, asked), soft_wrap=True, highlight=False)
    return 0


def _clips(asked: argparse.Namespace, checkpoint: Checkpoint) -> list[Recording]:
    """Of every language that can be scored and that the model knows."""
    dims = checkpoint.dims
    multilingual = Vocabulary(dims.n_vocab, dims.n_text_ctx).multilingual
    found = recordings(asked.data, SCORED if multilingual else ("en",))
    languages = sorted({clip.language for clip in found})
    groups = ([clip for clip in found if clip.language == language] for language in languages)
    return [clip for group in groups for clip in thinned(group, asked.clips)]


def _checked(
    checkpoint: Checkpoint,
    device: Device,
    clips: Sequence[Recording],
    console: Console,
    *,
    broken: bool,
) -> FoldRecord:
    """What these clips say about these weights."""
    with progress(console, 2 * sum(clip.seconds for clip in clips)) as advance:
        whole = _scores(Ours(checkpoint, device, fold=False), clips, advance)
        folding = unbiased if broken else folded
        cut = _scores(Ours(checkpoint, device, fold=True, folding=folding), clips, advance)
    languages = {
        language: _compared(
            *(
                [one for one, clip in zip(scored, clips, strict=True) if clip.language == language]
                for scored in (whole, cut)
            )
        )
        for language in dict.fromkeys(clip.language for clip in clips)
    }
    return FoldRecord(checkpoint.sha256, checkpoint.name, device.numbers, languages)


def _scores(engine: Ours, clips: Sequence[Recording], advance: Advance) -> list[Score]:
    texts: list[str] = []
    for batch in batches(clips, BATCH):
        samples, languages = [c.samples for c in batch], [c.language for c in batch]
        texts += [h.text for h in engine.transcribe(samples, languages, words=False)]
        advance(sum(clip.seconds for clip in batch), batch[0].language)
    return scores(clips, texts)


def _compared(padded: Sequence[Score], folded: Sequence[Score]) -> LanguageCheck:
    difference = paired(folded, padded)
    return LanguageCheck(
        clips=len(padded),
        padded_percent=100 * total(padded).rate,
        folded_percent=100 * total(folded).rate,
        low_points=difference.low_points,
        high_points=difference.high_points,
    )


def unbiased(samples: int) -> Fold:
    """A fold in which a kept tail position counts once, however many it stands for."""
    fold = folded(samples)
    return replace(fold, counts=np.ones_like(fold.counts))


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
        yield Check(f"{language}.clips", one.clips, MIN_CLIPS, Sense.AT_LEAST)
        yield Check(f"{language}.worse_high_points", one.high_points, LIMIT_POINTS)


def _table(record: FoldRecord) -> Table:
    shown = table(
        f"{record.model}, {record.dtype}: error rates, %; folded - padded in points",
        *("language", "clips", "padded", "folded", "95 % interval"),
    )
    for language, one in record.languages.items():
        interval = f"[{one.low_points:+.2f}, {one.high_points:+.2f}]"
        rates = (f"{one.padded_percent:.2f}", f"{one.folded_percent:.2f}")
        shown.add_row(language, str(one.clips), *rates, interval)
    return shown


def _verdict(record: FoldRecord, asked: argparse.Namespace) -> str:
    if not record.passed:
        return "refused: nothing is recorded, and fold=auto decodes these weights padded"
    if asked.broken:
        return "passed, which a broken fold must not: the check is worth nothing on these clips"
    return f"passed, recorded: {write(record, asked.record or own_folder(os.environ))}"


def _parser() -> argparse.ArgumentParser:
    parser = options.parser("fold", __doc__)
    options.add_data(parser)
    options.add_model(parser)
    options.add_dtype(parser)
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="where to record (default: beside the weights)"
    )
    parser.add_argument(
        "--break",
        dest="broken",
        choices=("no-bias",),
        help="break the fold on purpose, to see it refused",
    )
    options.add_clips(parser)
    return parser
