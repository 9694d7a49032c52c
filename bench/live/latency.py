"""Which finals transcribe which clip, how long they take, and where the time goes. Pure.

The latency of a clip is the time from the end of its last segment of speech (silero-vad, offline,
in the clean clip) until a read_committed reader has the last final that overlaps its speech. A
final that starts after the speech does not count.

    speech ends --detect--> detector's end --transcribe--> text known --publish--> received

`transcribe` contains the wait for the end of speech, the audio's way to the detector and, unless
the text was decoded before the end was certain, queue and decode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bench.live.conversations import Conversation, PlacedClip, SpeechClip
from bench.live.observations import (
    Observation,
    PlaybackClock,
    ReceivedEvent,
    ReceivedFinal,
    ReceivedPartial,
    by_stream,
)
from consumer.core.audio.utterance import WHISPER_RATE
from evaluation.percentiles import percentile
from evaluation.report import Figures
from schemas.transcript import UtteranceStarted

_EARLY_END_S: Final = 0.5  # a system may find the end of speech so much earlier than silero does
_PRE_ROLL_S: Final = 0.6  # an utterance may start so much before its speech; below MIN_GAP_S


@dataclass(frozen=True, slots=True)
class ClipResult:
    """A published clip and the finals that transcribe it."""

    stream_id: str
    placed: PlacedClip
    clock: PlaybackClock
    finals: tuple[ReceivedFinal, ...]  # that overlap its speech, in order
    latency_s: float | None  # None: missed or overdue
    overdue_s: float | None  # how long a final was waited for in vain; None: it came, or is missed

    @property
    def is_missed(self) -> bool:
        """Whether the stream ended without a final of the clip."""
        return self.wait_s is None

    @property
    def wait_s(self) -> float | None:
        """Latency; for an overdue clip the wait so far, a lower bound; None: missed."""
        return self.overdue_s if self.latency_s is None else self.latency_s


def clip_results(observations: Iterable[Observation], warm_up_s: float = 0.0) -> list[ClipResult]:
    """Return the result of every clip whose speech ends after `warm_up_s` of its stream.

    A clip without a final is missed if its stream has ended, else overdue.
    """
    return [
        _clip_result(observation, conversation.stream_id, placed, finals)
        for observation, conversation, finals in by_stream(observations)
        for placed in conversation.clips
        if placed.clip.segments and placed.speech_s[1] > warm_up_s
    ]


def _clip_result(
    observation: Observation, stream_id: str, placed: PlacedClip, finals: Iterable[ReceivedFinal]
) -> ClipResult:
    start_s, end_s = placed.speech_s
    own = tuple(final for final in finals if _overlaps(final, start_s, end_s))
    is_complete = bool(own) and own[-1].event.end_s >= end_s - _EARLY_END_S
    is_overdue = not is_complete and stream_id not in observation.ended
    spoken_s = observation.clock.at_s(end_s)
    return ClipResult(
        stream_id,
        placed,
        observation.clock,
        own,
        latency_s=own[-1].at_s - spoken_s if own and not is_overdue else None,
        overdue_s=observation.until_s - spoken_s if is_overdue else None,
    )


def _overlaps(text: ReceivedFinal | ReceivedPartial, start_s: float, end_s: float) -> bool:
    return text.event.start_s < end_s and start_s < text.event.end_s


def first_text_s(result: ClipResult, partials: Iterable[ReceivedPartial]) -> float | None:
    """Return the time from the start of speech to its first text, in a partial or a final."""
    start_s, end_s = result.placed.speech_s
    shown = [
        partial.at_s
        for partial in partials
        if partial.event.stream_id == result.stream_id
        and _overlaps(partial, start_s, end_s)
        and (partial.event.stable_text or partial.event.tentative_text)
    ]
    shown += [final.at_s for final in result.finals if final.event.text]
    return min(shown) - result.clock.at_s(start_s) if shown else None


def onset_s(result: ClipResult, onsets: Iterable[ReceivedEvent[UtteranceStarted]]) -> float | None:
    """Return the time from the start of speech to the event that its utterance has started."""
    start_s, end_s = result.placed.speech_s
    received = [
        onset.at_s
        for onset in onsets
        if onset.event.stream_id == result.stream_id
        and start_s - _PRE_ROLL_S <= onset.event.start_s < end_s
    ]
    return min(received) - result.clock.at_s(start_s) if received else None


def finals_by_clip(
    conversation: Conversation, finals: Iterable[ReceivedFinal]
) -> Iterator[tuple[SpeechClip, list[ReceivedFinal]]]:
    """Assign every final to the clip that it overlaps most, or else to the nearest."""
    assigned: list[list[ReceivedFinal]] = [[] for _ in conversation.clips]
    for final in finals:
        overlaps = [_overlap(final, placed) for placed in conversation.clips]
        assigned[overlaps.index(max(overlaps))].append(final)
    return zip((placed.clip for placed in conversation.clips), assigned, strict=True)


def _overlap(final: ReceivedFinal, placed: PlacedClip) -> float:
    """Return the samples in common; the distance, negative, where there are none."""
    start, end = (s * WHISPER_RATE for s in (final.event.start_s, final.event.end_s))
    return min(end, placed.end) - max(start, placed.start)


class LatencyParts(NamedTuple):
    """Where the time of one final goes; seconds. The first three add up to the latency."""

    detect: float  # silero's end of speech -> the worker's; below 0: the worker's is earlier
    transcribe: float  # the worker's end of speech -> text known
    publish: float  # text known -> commit, broker, reader
    queue: float  # utterance closed -> decode begun; 0: decoded before
    decode: float  # of the batch


def latency_parts(result: ClipResult) -> LatencyParts | None:
    """Return the parts of a clip's latency, or None without a final of streamscribe."""
    if result.latency_s is None:
        return None
    event = result.finals[-1].event
    timing = event.timing
    if timing.speech_end_to_final_ms is None:
        return None
    detect_s = (event.speech_end_s - result.placed.speech_s[1]) / result.clock.pace
    transcribe_s = timing.speech_end_to_final_ms / 1000
    return LatencyParts(
        detect_s,
        transcribe_s,
        publish=result.latency_s - detect_s - transcribe_s,
        queue=timing.queue_ms / 1000,
        decode=timing.decode_ms / 1000,
    )


def parts_figures(results: Sequence[ClipResult]) -> Figures:
    """Return p50 and p95 of each part, and the share of finals decoded before their end."""
    found = [parts for result in results if (parts := latency_parts(result)) is not None]
    if not found:
        return {}
    columns = zip(LatencyParts._fields, zip(*found, strict=True), strict=True)
    percentiles: Figures = {
        f"trace.{name}_p{percent}_s": percentile(values, percent / 100)
        for name, values in columns
        for percent in (50, 95)
    }
    early = sum(parts.queue == 0 for parts in found) / len(found)
    return {"trace.decoded_early_share": early} | percentiles
