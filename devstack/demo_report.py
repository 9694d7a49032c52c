"""The demo's results: figures, checks against limits, and a table. Pure.

Latency is measured at a `read_committed` reader: the time it received a final, minus the time the
speech of that utterance ended (`speech_end_s`), which lies before the end of the audio.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich import box
from rich.table import Table

from evaluation.percentiles import percentile
from evaluation.report import Check
from evaluation.samples import SampleClip
from evaluation.scoring import Score, score, total, unit_of
from schemas.transcript import AnyEvent, StreamEnded, TranscriptFinal

MAX_ERROR_RATE: Final = {"en": 0.15, "zh": 0.25}  # of all streams of a language
MAX_STREAM_ERROR_RATE: Final = 0.50  # of one stream, which may have only a dozen words
MAX_P95_S: Final = 2.5  # end of speech -> final, on two CPU cores


@dataclass(frozen=True, slots=True)
class Received:
    """An event, and when the reader received it."""

    event: AnyEvent
    at_ms: int  # Unix time


@dataclass(frozen=True, slots=True)
class StreamResult:
    """The result of one sample."""

    sample: SampleClip
    text: str  # of all its finals
    score: Score  # of the text
    latencies_s: tuple[float, ...]  # end of speech -> final, one per final
    ended: bool


def results(
    samples: Sequence[SampleClip], received: Iterable[Received]
) -> tuple[StreamResult, ...]:
    by_stream: dict[str, list[Received]] = {sample.stream_id: [] for sample in samples}
    for one in received:
        by_stream[one.event.stream_id].append(one)
    return tuple(_result(sample, by_stream[sample.stream_id]) for sample in samples)


def _result(sample: SampleClip, received: Sequence[Received]) -> StreamResult:
    finals = [(one.event, one.at_ms) for one in received if isinstance(one.event, TranscriptFinal)]
    text = " ".join(final.text.strip() for final, _ in finals)
    return StreamResult(
        sample,
        text,
        score(sample.reference, text, sample.language),
        latencies_s=tuple(latency_s(final, at_ms) for final, at_ms in finals),
        ended=any(isinstance(one.event, StreamEnded) for one in received),
    )


def latency_s(final: TranscriptFinal, received_ms: int) -> float:
    """Return the time from the end of speech to the reader, rounded to milliseconds."""
    return round((received_ms - final.time_ms) / 1_000 + final.end_s - final.speech_end_s, 3)


def by_language(streams: Iterable[StreamResult]) -> dict[str, list[StreamResult]]:
    groups: dict[str, list[StreamResult]] = {}
    for stream in streams:
        groups.setdefault(stream.sample.language, []).append(stream)
    return groups


def checks(streams: Sequence[StreamResult]) -> list[Check]:
    unended = sum(not stream.ended for stream in streams)
    return [
        Check("streams not ended", unended, 0),
        *(_language_check(language, group) for language, group in by_language(streams).items()),
        *(_stream_check(stream) for stream in streams),
        *_latency_checks(streams),
    ]


def _language_check(language: str, streams: Sequence[StreamResult]) -> Check:
    rate = total(stream.score for stream in streams).rate
    return Check(f"{language} {rate_name(language)}", rate, MAX_ERROR_RATE[language])


def _stream_check(stream: StreamResult) -> Check:
    name = f"{rate_name(stream.sample.language)} of {stream.sample.stream_id}"
    return Check(name, stream.score.rate, MAX_STREAM_ERROR_RATE)


def _latency_checks(streams: Sequence[StreamResult]) -> Iterator[Check]:
    if (p95_s := percentile(_latencies(streams), 0.95)) is not None:
        yield Check("p95 of end of speech to final, s", p95_s, MAX_P95_S, required=False)


def rate_name(language: str) -> str:
    return unit_of(language).rate_name


def figures(streams: Sequence[StreamResult], phases_s: dict[str, float]) -> dict[str, Any]:
    """Return the figures of the demo, in total, by language and by stream.

    Times are in seconds; error rates are fractions.
    """
    return {
        "phases_s": phases_s,
        "all": _latency_figures(streams),
        "languages": {
            language: _score_figures(group) | _latency_figures(group)
            for language, group in by_language(streams).items()
        },
        "streams": {
            stream.sample.stream_id: _score_figures([stream])
            | _latency_figures([stream])
            | {"ended": stream.ended, "text": stream.text}
            for stream in streams
        },
    }


def _score_figures(streams: Sequence[StreamResult]) -> dict[str, Any]:
    counted = total(stream.score for stream in streams)
    return asdict(counted) | {"error_rate": counted.rate}


def _latency_figures(streams: Sequence[StreamResult]) -> dict[str, Any]:
    latencies = _latencies(streams)
    return {
        "audio_s": round(sum(stream.sample.seconds for stream in streams), 3),
        "finals": len(latencies),
        "latency_p50_s": percentile(latencies, 0.5),
        "latency_p95_s": percentile(latencies, 0.95),
    }


def _latencies(streams: Iterable[StreamResult]) -> list[float]:
    return [latency for stream in streams for latency in stream.latencies_s]


def table(streams: Sequence[StreamResult]) -> Table:
    """Return a table with one row per stream, then one per language; it fits 80 columns."""
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    shown.add_column("stream", overflow="fold")
    for heading in ("audio", "length", "error rate", "finals", "p50", "p95"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for stream in streams:
        unended = "" if stream.ended else " (not ended)"
        shown.add_row(f"{stream.sample.stream_id}{unended}", *_cells([stream]))
    shown.add_section()
    for language, group in by_language(streams).items():
        shown.add_row(f"all {language}", *_cells(group), style="bold")
    return shown


def _cells(streams: Sequence[StreamResult]) -> tuple[str, ...]:
    counted = total(stream.score for stream in streams)
    unit = unit_of(streams[0].sample.language)
    measured = _latency_figures(streams)
    return (
        f"{measured['audio_s']:.1f} s",
        f"{counted.length} {unit.short}",
        f"{unit.rate_name} {counted.rate:.1%}",
        str(measured["finals"]),
        _seconds(measured["latency_p50_s"]),
        _seconds(measured["latency_p95_s"]),
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
