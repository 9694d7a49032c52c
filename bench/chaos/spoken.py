"""What is spoken in a take: found by the product's own detector and segmenter, without a fault.

The loop is written here anew, a few lines over one take that is wholly at hand, so that a mistake
in the service's sessions cannot hide behind itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from bench.chaos.spans import Span
from consumer.core.segmenter import Cut, Segmenter
from consumer.core.values import WHISPER_RATE, EndReason, Int16Array
from consumer.inference.vad import SpeechScorer

_STEP: Final = WHISPER_RATE  # samples that are scored at once


def spoken(scorer: SpeechScorer, sound: Int16Array, stretches: Iterable[Span]) -> list[Span]:
    """From the first to the last window heard of every utterance, in samples of the take.

    `stretches`: between them audio is missing, or the publisher asked for an end.
    """
    return [
        (start + lead, start + length)
        for low, high in stretches
        for start, lead, length in _utterances(scorer, sound[low:high], low)
    ]


def _utterances(
    scorer: SpeechScorer, sound: Int16Array, first: int
) -> Iterator[tuple[int, int, int]]:
    """Of each: its first sample, then from there where speech begins and where it ends."""
    begin, in_speech = 0, False
    pre_roll = scorer.segmenter.pre_roll_ms * WHISPER_RATE // 1000
    while begin < len(sound):
        cut = _cut(scorer, sound[begin:], in_speech=in_speech)
        if (span := cut.span) is not None:
            lead = min(0 if in_speech else pre_roll, span.speech_end - span.start)
            yield first + begin + span.start, lead, span.speech_end - span.start
        begin, in_speech = begin + cut.at, cut.in_speech


def _cut(scorer: SpeechScorer, sound: Int16Array, *, in_speech: bool) -> Cut:
    """The first one; the detector is a new one."""
    segmenter = Segmenter(scorer.segmenter, WHISPER_RATE, in_speech=in_speech)
    detector: Any = scorer.open(WHISPER_RATE)
    for at in range(0, len(sound), _STEP):
        (scores,) = scorer.score([(detector, sound[at : at + _STEP])])
        if (cut := segmenter.push(scores)) is not None:
            return cut
    return segmenter.close(len(sound), EndReason.END_OF_STREAM)
