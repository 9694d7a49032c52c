"""The weights that a bench was asked for."""

from __future__ import annotations

import os
from pathlib import Path

from bench.framework import BenchContext
from consumer.inference.checkpoint import Checkpoint, load
from consumer.inference.device import set_threads, usable_cores
from consumer.inference.vocabulary import Vocabulary
from weights.resolve import resolve_here


def requested_checkpoint(context: BenchContext) -> tuple[Path, Checkpoint]:
    """Find weights as the worker does, and load them. Raises `WeightsError`."""
    found = resolve_here(context.arguments.model, os.environ, context.console)
    return found.path, load(found.path, sha256=found.sha256)


def languages(checkpoint: Checkpoint) -> frozenset[str]:
    """Return the Whisper codes of the languages of a model."""
    vocabulary = Vocabulary(checkpoint.dims.n_vocab, checkpoint.dims.n_text_ctx)
    return frozenset(vocabulary.language_tokens) or frozenset({"en"})


def requested_threads(context: BenchContext) -> int:
    """Return the threads of one product."""
    threads: int = context.arguments.threads or usable_cores()
    return threads


def use_requested_threads(context: BenchContext) -> int:
    """Set the threads of one product, and return them."""
    threads = requested_threads(context)
    set_threads(threads)
    return threads
