"""`python -m bench NAME`: every published figure, one command each.

A bench exits with 0 when it has measured, whatever the figures: a missed target is a finding. It
exits with 1 when it cannot measure, and with 2 when it was used or configured wrongly.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from bench.framework import USAGE, measure
from streamscribe.cli import Command, run

BENCHES: Final = {
    "abuse": Command("bench.robustness.abuse.run", "whether hostile records affect other streams"),
    "borders": Command("bench.quality.borders", "words lost or doubled where long speech is cut"),
    "chaos": Command("bench.robustness.chaos.run", "whether any fault loses audio or repeats text"),
    "chinese": Command("bench.quality.chinese", "the effect of each step of writing Chinese"),
    "confidence": Command("bench.quality.confidence", "the calibration of confidences"),
    "engine": Command("bench.engine.run", "speed, accuracy and word times beside the peers"),
    "engine_process": Command(
        "bench.engine.engine_process", "speed of two workers on one engine, beside one process"
    ),
    "files": Command("bench.files", "files to text beside the engine alone: speed and memory"),
    "fold": Command("bench.quality.fold", "whether weights may be folded; records it"),
    "fuzz": Command("bench.robustness.fuzz.run", "whether any bytes crash or stall a parser"),
    "gpu": Command("bench.engine.gpu", "speed, latency and memory of one shape of model"),
    "gpu_kit": Command("bench.engine.gpu_once.kit", "build what gpu_once carries along"),
    "gpu_once": Command("bench.engine.gpu_once.run", "all that is owed on a GPU, in seven minutes"),
    "hallucinations": Command("bench.quality.hallucinations", "text invented without speech"),
    "host": Command("bench.host.run", "processor time beside the model and the detector"),
    "live": Command("bench.live.run", "latency and error rates of live streams"),
    "partials": Command("bench.quality.partials", "how much of a text is stable before its final"),
    "scale": Command("bench.scale.run", "what live streams cost the ingest workers"),
    "schedule": Command("bench.scheduling.run", "how long finals wait under load: a simulation"),
    "soak": Command("bench.engine.soak", "memory over half an hour of decoding"),
}


def main(argv: Sequence[str] | None = None) -> int:
    name, *rest = [*(sys.argv[1:] if argv is None else argv)] or ["--help"]
    if name in {"-h", "--help"}:
        print(help_text())
        return 0
    if name not in BENCHES:
        sys.stderr.write(f"bench: no bench {name!r}: {', '.join(BENCHES)}\n")
        return USAGE
    return run(lambda: measure(name, BENCHES[name].module, rest))


def help_text() -> str:
    width = max(map(len, BENCHES))
    lines = (f"  {name:{width}}  {bench.help}" for name, bench in BENCHES.items())
    usage = "usage: python -m bench NAME ..."
    return "\n".join((usage, "", *lines, "", "`python -m bench NAME --help` describes a bench."))


if __name__ == "__main__":
    sys.exit(main())
