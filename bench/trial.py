"""What the benches of texts share: the transcriber of the worker, a beginning and an end."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from rich.console import Console

from bench import options
from bench.machine import machine
from bench.recordings import SCORED
from consumer.engine.local import Transcriber
from consumer.inference.device import set_threads, usable_cores
from consumer.model_loading import load_transcriber
from consumer.settings import Settings
from evaluation.report import Check, Figures, publish


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    made = options.parser(name, description)
    options.add_dtype(made)
    options.add_data(made)
    options.add_model(made)
    return made


@dataclass(frozen=True, slots=True)
class Trial:
    """One call of such a bench."""

    asked: argparse.Namespace
    console: Console
    transcriber: Transcriber
    threads: int  # of one product

    @classmethod
    def begin(cls, asked: argparse.Namespace) -> Self:
        transcriber = load_transcriber(Settings(model=asked.model, dtype=asked.dtype))
        return cls(asked, Console(), transcriber, asked.threads or usable_cores())

    @property
    def languages(self) -> list[str]:
        """Those of the model whose error rates can be told."""
        return [code for code in SCORED if code in self.transcriber.languages]

    @contextmanager
    def detecting(self) -> Iterator[None]:
        """With one thread: a detector is too small to be shared."""
        set_threads(1)
        try:
            yield
        finally:
            set_threads(self.threads)

    def publish(self, figures: Figures, checks: Iterable[Check]) -> None:
        where = machine(self.transcriber.info.dtype, self.threads)
        where |= {"model": self.transcriber.info.name}
        publish(self.console, self.asked.json, where, figures, [*checks])
