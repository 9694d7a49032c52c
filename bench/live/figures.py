"""Figures and checks of scenarios. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from bench.live.latency import (
    ClipResult,
    clip_results,
    finals_by_clip,
    first_text_s,
    onset_s,
    parts_figures,
)
from bench.live.observations import (
    Observation,
    Observed,
    ReceivedFinal,
    by_stream,
    received,
)
from bench.live.scenarios import LEAVES
from bench.live.stable_text import stable_checks, stable_figures, with_partials
from bench.live.systems import STREAMSCRIBE
from bench.live.text_errors import (
    CutErrors,
    TextPair,
    cut_checks,
    cut_errors,
    text_checks,
    text_figures,
)
from consumer.core.audio.utterance import EndReason
from evaluation.percentiles import percentile
from evaluation.report import Check, Figures, Sense, prefixed, section
from evaluation.scoring import tokens
from schemas.transcript import TranscriptFinal, TranscriptPartial, UtteranceStarted

# Targets.
P50_S: Final = 0.7  # end of speech -> final, with the wait of 500 ms for more speech
P95_S: Final = 1.5
MIN_LATENCIES: Final = 200
FIRST_TEXT_S: Final = 1.2  # start of speech -> first text, p50
RECOVERED_LAG_S: Final = 1.0  # after an overload the lag stays below this
RECOVERY_S: Final = 180.0  # within this


def all_figures(observed: Observed, whole: Mapping[str, str], warm_up_s: float) -> Figures:
    """Return all figures by system and scenario; `whole`: decodes of whole clips by name."""
    figures: Figures = {}
    for system, scenarios in observed.items():
        for scenario, observations in scenarios.items():
            found = _figures(scenario, observations, whole, warm_up_s)
            figures |= prefixed(f"{system}.{scenario}.", found)
    return figures


def _figures(
    scenario: str, observations: Sequence[Observation], whole: Mapping[str, str], warm_up_s: float
) -> Figures:
    match scenario:
        case "talk":
            clips = clip_results(observations, warm_up_s)
            found = timing_figures(observations, clips) | partial_figures(observations, clips)
            return found | text_figures(clip_pairs(observations, whole))
        case "long":
            texts = text_figures(recording_pairs(observations, whole))
            cuts = recording_cuts(observations, whole).figures()
            return texts | cuts | timing_figures(observations, clip_results(observations))
        case "silent":
            return silence_figures(observations)
        case _:
            return overload_figures(*observations)


def all_checks(figures: Figures) -> Iterator[Check]:
    """Yield the checks of streamscribe; other systems have no targets."""
    talk, long, overload = (
        section(figures, f"{STREAMSCRIBE}.{scenario}.") for scenario in ("talk", "long", "overload")
    )
    if talk:
        yield from timing_checks(talk)
        yield from partial_checks(talk)
    if long:
        yield from text_checks(long)
        yield from cut_checks(long)
    if overload:
        yield from overload_checks(overload)


# --- latency and load


def timing_figures(observations: Sequence[Observation], clips: Sequence[ClipResult]) -> Figures:
    conversations = [conversation for _, conversation, _ in by_stream(observations)]
    audio_s = sum(each.seconds for each in conversations)
    waits_s = [clip.wait_s for clip in clips if clip.wait_s is not None]
    return {
        "streams": max(len(each.scenario.conversations) for each in observations),
        "talk_share": sum(each.speech_s for each in conversations) / audio_s,
        "finals": len(received(observations, TranscriptFinal)),
        "latencies": len(waits_s),
        **{f"latency_p{p}_s": percentile(waits_s, p / 100) for p in (50, 95, 99)},
        "clips_missed": sum(clip.is_missed for clip in clips),
        "clips_overdue": sum(clip.overdue_s is not None for clip in clips),
        "cpu_s_per_stream_s": sum(each.cpu_s for each in observations) / audio_s,
        "publisher_late_s": max(each.late_s for each in observations),
        **worker_figures(observations),
        **parts_figures(clips),
    }


def worker_figures(observations: Iterable[Observation]) -> Figures:
    """Return extremes of lag and memory; None for a system without metrics."""
    samples = [sample for each in observations for sample in each.lag_samples]
    return {
        "most_lag_s": max((sample.lag_s for sample in samples), default=None),
        "least_resident_mb": min((sample.resident_mb for sample in samples), default=None),
        "most_resident_mb": max((sample.resident_mb for sample in samples), default=None),
    }


def timing_checks(figures: Figures) -> Iterator[Check]:
    for percent, limit_s in ((50, P50_S), (95, P95_S)):
        if (latency_s := figures[f"latency_p{percent}_s"]) is not None:
            name = f"end of speech to final, {figures['streams']} streams, p{percent} s"
            yield Check(name, float(latency_s), limit_s)
    count = float(figures["latencies"] or 0)
    yield Check("latencies measured", count, MIN_LATENCIES, Sense.AT_LEAST)


# --- texts


def clip_pairs(observations: Sequence[Observation], whole: Mapping[str, str]) -> list[TextPair]:
    """Return the texts of every clip with a reference."""
    return [
        TextPair(clip.language, clip.reference, whole[clip.name], _text(clip_finals))
        for _, conversation, finals in by_stream(observations)
        for clip, clip_finals in finals_by_clip(conversation, finals)
        if clip.reference
    ]


def recording_pairs(
    observations: Sequence[Observation], whole: Mapping[str, str]
) -> list[TextPair]:
    """Return the texts of every long recording."""
    return [
        TextPair(each.language, each.reference, each.joined(whole), _text(finals))
        for _, each, finals in by_stream(observations)
    ]


def recording_cuts(observations: Sequence[Observation], whole: Mapping[str, str]) -> CutErrors:
    """Return the errors at all forced cuts of long recordings."""
    return sum(
        (
            cut_errors(
                tokens(each.reference, each.language),
                tokens(each.joined(whole), each.language),
                [tokens(final.event.text, each.language) for final in finals],
                [
                    index
                    for index, final in enumerate(finals)
                    if final.event.end_reason == EndReason.MAX_LENGTH
                ],
            )
            for _, each, finals in by_stream(observations)
        ),
        CutErrors(),
    )


def _text(finals: Iterable[ReceivedFinal]) -> str:
    return " ".join(final.event.text for final in finals)


def silence_figures(observations: Sequence[Observation]) -> Figures:
    """Return how many finals of clips without speech have a text."""
    invented = sum(
        bool(final.event.text.strip()) for final in received(observations, TranscriptFinal)
    )
    hours = sum(each.seconds for _, each, _ in by_stream(observations)) / 3600
    return {"hours": hours, "invented_finals": invented, "invented_per_hour": invented / hours}


# --- partials


def partial_figures(observations: Sequence[Observation], clips: Iterable[ClipResult]) -> Figures:
    """Return the figures of partials; none where there are no partials."""
    partials = received(observations, TranscriptPartial)
    if not partials:
        return {}
    onsets = received(observations, UtteranceStarted)
    waits = [(first_text_s(clip, partials), onset_s(clip, onsets)) for clip in clips]
    first_texts_s = [first_s for first_s, _ in waits if first_s is not None]
    clocks = {stream.stream_id: each.clock for each, stream, _ in by_stream(observations)}
    utterances = with_partials(received(observations, TranscriptFinal), partials)
    return {
        "first_text_p50_s": percentile(first_texts_s, 0.5),
        "first_text_p95_s": percentile(first_texts_s, 0.95),
        "onset_p50_s": percentile((each for _, each in waits if each is not None), 0.5),
        **stable_figures(utterances, clocks),
    }


def partial_checks(figures: Figures) -> Iterator[Check]:
    if figures.get("partials"):
        yield Check("first text, p50 s", float(figures["first_text_p50_s"] or 0), FIRST_TEXT_S)
        yield from stable_checks(figures)


# --- overload


def overload_figures(observation: Observation) -> Figures:
    """Return the losses of an overload, and how long it lasts after most streams have ended."""
    conversations, clips = observation.scenario.conversations, clip_results([observation])
    leaving = [each for each in conversations if each.stream_id.startswith(LEAVES)]
    relieved_at_s = observation.clock.at_s(max(each.seconds for each in leaving))
    late = [each.at_s for each in observation.lag_samples if each.lag_s >= RECOVERED_LAG_S]
    return {
        "streams": len(conversations),
        "streams_after": len(conversations) - len(leaving),
        "clips": len(clips),
        "clips_without_final": sum(clip.latency_s is None for clip in clips),
        "back_s": max(0.0, max(late, default=relieved_at_s) - relieved_at_s),
        **worker_figures([observation]),
    }


def overload_checks(figures: Figures) -> Iterator[Check]:
    lost = float(figures["clips_without_final"] or 0)
    yield Check("overload: clips without a final", lost, 0)
    if figures["most_lag_s"] is not None:
        name = f"overload: s until the lag stays under {RECOVERED_LAG_S:g} s"
        yield Check(name, float(figures["back_s"] or 0), RECOVERY_S)
