"""Which final says what was spoken when, and how long it took to come. Pure.

A clip's latency: from the end of its last silero segment to the final that holds the end of its
speech, which is the last one that overlaps any of it. A final that begins behind the speech answers
to nothing that was said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.live.heard import Axis, Final, Onset, Partial
from bench.live.programme import Placed, Programme
from consumer.core.audio.utterance import WHISPER_RATE


@dataclass(frozen=True, slots=True)
class Answer:
    """A clip that was spoken, and what became of it."""

    stream_id: str
    placed: Placed
    finals: tuple[Final, ...]  # that overlap its speech, in order
    latency_s: float | None  # None: there is no final
    overdue_s: float | None = None  # so long it has been waited for in vain; None: it is there


def answers(
    programme: Programme, finals: Iterable[Final], axis: Axis, *, unfinished_at_s: float | None
) -> list[Answer]:
    """Of every clip with speech; `unfinished_at_s`: when the stream was given up, None: it ended.

    Without a final, a clip of a stream that ended was missed, and one of another is overdue.
    """
    ordered = sorted(finals, key=lambda final: final.start_s)
    return [
        _answer(programme.stream_id, each, ordered, axis, unfinished_at_s)
        for each in programme.placed
        if each.clip.segments
    ]


def _answer(
    stream_id: str,
    placed: Placed,
    finals: Sequence[Final],
    axis: Axis,
    unfinished_at_s: float | None,
) -> Answer:
    begin_s, end_s = placed.speech_s
    spoken_s = axis.at_s(end_s)
    mine = tuple(final for final in finals if final.start_s < end_s and begin_s < final.end_s)
    late_s = None if unfinished_at_s is None else unfinished_at_s - spoken_s
    if late_s is not None and (not mine or mine[-1].end_s < end_s - _SLACK_S):
        return Answer(stream_id, placed, mine, None, late_s)
    return Answer(stream_id, placed, mine, mine[-1].at_s - spoken_s if mine else None)


_SLACK_S = 0.5  # that an engine may hear speech end earlier than silero does


def first_text_s(answer: Answer, partials: Iterable[Partial], axis: Axis) -> float | None:
    """From the beginning of a clip's speech to the first text of it, be it a partial or a final."""
    begin_s, end_s = answer.placed.speech_s
    shown = [
        partial.at_s
        for partial in partials
        if partial.event.stream_id == answer.stream_id
        and partial.event.start_s < end_s
        and begin_s < partial.event.end_s
        and (partial.event.stable_text or partial.event.tentative_text)
    ]
    shown += [final.at_s for final in answer.finals if final.text]
    return min(shown) - axis.at_s(begin_s) if shown else None


def onset_s(answer: Answer, onsets: Iterable[Onset], axis: Axis) -> float | None:
    """From the beginning of a clip's speech to the word that somebody speaks; None: there is none.

    An utterance begins before its speech, by its pre-roll, and never so early in the clip before.
    """
    begin_s, end_s = answer.placed.speech_s
    told = [
        onset.at_s
        for onset in onsets
        if onset.event.stream_id == answer.stream_id
        and begin_s - _PRE_ROLL_S <= onset.event.start_s < end_s
    ]
    return min(told) - axis.at_s(begin_s) if told else None


_PRE_ROLL_S = 0.6  # that an utterance may begin before its speech; less than the silence between


def latencies(answered: Iterable[Answer]) -> list[float]:
    """Seconds; what never came counts with what had been waited for it, which is a lower bound."""
    waited = (a.overdue_s if a.latency_s is None else a.latency_s for a in answered)
    return [each for each in waited if each is not None]


def dealt(programme: Programme, finals: Iterable[Final]) -> list[list[Final]]:
    """Every final to the clip that it overlaps most, else to the nearest one; in order."""
    parts: defaultdict[int, list[Final]] = defaultdict(list)
    for final in sorted(finals, key=lambda final: final.start_s):
        span = final.start_s * WHISPER_RATE, final.end_s * WHISPER_RATE
        overlaps = [_overlap(span, each) for each in programme.placed]
        parts[overlaps.index(max(overlaps))].append(final)
    return [parts[index] for index in range(len(programme.placed))]


def _overlap(span: tuple[float, float], placed: Placed) -> float:
    """Samples in common; below 0: so far apart."""
    return min(span[1], placed.end) - max(span[0], placed.start)
