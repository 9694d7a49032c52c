"""`python -m bench NAME`: every published figure, one command each.

A bench exits with 0 when it measured, whatever came out: a missed target is a finding. Else with 1,
or with 2 when something else was to be asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from consumer.errors import ConfigError
from consumer.process_tuning import limit_spinning, retain_memory
from streamscribe.cli import USAGE, Command, guarded, load
from weights.errors import WeightsError

BENCHES: Final = {
    "abuse": Command("bench.abuse.run", "whether hostile records harm streams that do right"),
    "borders": Command("bench.borders", "words lost or doubled where long speech is cut"),
    "chaos": Command("bench.chaos.run", "whether any fault loses audio or repeats a word"),
    "chinese": Command("bench.chinese", "what each step of writing Chinese does to it"),
    "confidence": Command("bench.confidence", "whether a final's confidence means what it says"),
    "engine": Command("bench.engine", "speed, accuracy and word times beside the peers"),
    "fold": Command("bench.fold", "whether folding keeps the texts of these weights; records it"),
    "fuzz": Command("bench.fuzz.run", "whether any bytes crash, stall or bloat what reads them"),
    "gpu": Command(
        "bench.gpu", "speed, latency and memory of one shape of model; no weights needed"
    ),
    "guard": Command("bench.guard", "text invented on silence, and true words lost to the guard"),
    "live": Command(
        "bench.live.run", "how soon finals of live streams come, and how good they are"
    ),
    "partials": Command("bench.partials", "how much of a text is stable before its final"),
    "schedule": Command("bench.schedule", "how long finals wait under load: a simulation"),
    "soak": Command("bench.soak", "memory over half an hour of decoding"),
}


def main(argv: Sequence[str] | None = None) -> int:
    name, *rest = [*(sys.argv[1:] if argv is None else argv)] or ["--help"]
    if name in {"-h", "--help"}:
        print(help_text())
        return 0
    if name not in BENCHES:
        sys.stderr.write(f"bench: no bench {name!r}: {', '.join(BENCHES)}\n")
        return USAGE
    return guarded(lambda: _measured(BENCHES[name], rest))


def help_text() -> str:
    width = max(map(len, BENCHES))
    lines = (f"  {name:{width}}  {bench.help}" for name, bench in BENCHES.items())
    return "\n".join(
        ("usage: python -m bench NAME ...", "", *lines, "", "`python -m bench NAME --help`: more")
    )


def _measured(bench: Command, argv: Sequence[str]) -> int:
    limit_spinning(os.environ)  # as the worker does
    retain_memory(os.environ)
    try:
        return load(bench)(argv)
    except (ConfigError, WeightsError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return USAGE


if __name__ == "__main__":
    sys.exit(main())
