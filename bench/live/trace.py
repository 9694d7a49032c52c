"""Where the time of our finals goes, from the end of the speech to the reader. Pure.

    speech ends --heard--> the detector's end of it --known--> text known --publish--> read

`known` holds the wait for the end of speech, the audio's way to the detector, and for what was not
decoded before its end was certain the queue and the decode.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from bench.live.heard import Axis
from bench.live.pairing import Answer
from consumer.core.audio.utterance import WHISPER_RATE
from evaluation.percentiles import percentile
from evaluation.report import Figures


@dataclass(frozen=True, slots=True)
class Trace:
    """One final; seconds. `heard`, `known` and `publish` add up to its latency."""

    heard: float  # below 0: the detector heard it end earlier than silero does on the clean clip
    known: float  # the detector's end of speech -> text known
    publish: float  # text known -> commit, broker, reader
    queue: float  # utterance closed -> decode begun; 0: it was decoded before
    decode: float  # of the batch


def trace(answer: Answer, axis: Axis) -> Trace | None:
    """None: no final of ours answers the clip."""
    if answer.latency_s is None or (event := answer.finals[-1].event) is None:
        return None
    timing = event.timing
    if timing.speech_end_to_final_ms is None:
        return None
    heard_s = (event.speech_end_s - answer.placed.speech_end / WHISPER_RATE) / axis.pace
    known_s = timing.speech_end_to_final_ms / 1000
    return Trace(
        heard=heard_s,
        known=known_s,
        publish=answer.latency_s - heard_s - known_s,
        queue=timing.queue_ms / 1000,
        decode=timing.decode_ms / 1000,
    )


def figures(answered: Iterable[Answer], axis: Axis) -> Figures:
    """p50 and p95 of each part, and the share of finals that were decoded before their end."""
    traces = [found for answer in answered if (found := trace(answer, axis)) is not None]
    if not traces:
        return {}
    parts: Figures = {
        f"trace.{part.name}_p{round(100 * share)}_s": percentile(
            (getattr(each, part.name) for each in traces), share
        )
        for part in fields(Trace)
        for share in (0.5, 0.95)
    }
    early = sum(each.queue == 0 for each in traces) / len(traces)
    return {"trace.decoded_early_share": early, **parts}
