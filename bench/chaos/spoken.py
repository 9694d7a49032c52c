"""What is spoken in a take: found by the product's own detector and segmenter, without a fault.

The loop is written here anew, a few lines over one take that is wholly at hand, so that a mistake
in the service's sessions cannot hide behind itself. Many takes are scored together: it is quicker.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

from bench.chaos.spans import Span
from consumer.core.audio.segmenter import Cut, Segmenter
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Float32Array, Int16Array
from consumer.detection.detector_thread import SpeechScorer

_STEP: Final = WHISPER_RATE  # samples that are scored at once
_TOGETHER: Final = 24  # takes

_T = TypeVar("_T")
_Name = TypeVar("_Name", bound=Hashable)

# Asks for scores of audio that follows what its detector heard last.
Asking: TypeAlias = Generator[tuple[Any, Int16Array], Float32Array, _T]


def spoken(
    scorer: SpeechScorer, takes: Iterable[tuple[_Name, Int16Array, Iterable[Span]]]
) -> dict[_Name, list[Span]]:
    """By take: its name, its sound and the stretches of it that were published.

    From the first to the last window heard of every utterance, in samples of the take. Between
    stretches audio is missing, or the publisher asked for an end.
    """
    waiting = ((name, _search(scorer, sound, stretches)) for name, sound, stretches in takes)
    asking = {name: (search, next(search)) for name, search in islice(waiting, _TOGETHER)}
    found: dict[_Name, list[Span]] = {}
    while asking:
        answers = scorer.score([request for _, request in asking.values()])
        for (name, (search, _)), scores in zip(list(asking.items()), answers, strict=True):
            try:
                asking[name] = search, search.send(scores)
            except StopIteration as done:
                found[name] = done.value
                del asking[name]
                asking |= {name: (search, next(search)) for name, search in islice(waiting, 1)}
    return found


def _search(
    scorer: SpeechScorer, sound: Int16Array, stretches: Iterable[Span]
) -> Asking[list[Span]]:
    spans = []
    for low, high in stretches:
        spans += yield from _utterances(scorer, sound[low:high], low)
    return spans


def _utterances(scorer: SpeechScorer, sound: Int16Array, first: int) -> Asking[list[Span]]:
    spans, begin, in_speech = [], 0, False
    pre_roll = scorer.segmenter.pre_roll_ms * WHISPER_RATE // 1000
    while begin < len(sound):
        cut = yield from _cut(scorer, sound[begin:], in_speech=in_speech)
        if (span := cut.span) is not None:
            start = min(span.start + (0 if in_speech else pre_roll), span.speech_end)
            spans.append((first + begin + start, first + begin + span.speech_end))
        begin, in_speech = begin + cut.at, cut.in_speech
    return spans


def _cut(scorer: SpeechScorer, sound: Int16Array, *, in_speech: bool) -> Asking[Cut]:
    """The first one; the detector is a new one."""
    segmenter = Segmenter(scorer.segmenter, WHISPER_RATE, in_speech=in_speech)
    detector: Any = scorer.open(WHISPER_RATE)
    for at in range(0, len(sound), _STEP):
        scores = yield detector, sound[at : at + _STEP]
        if (cut := segmenter.push(scores)) is not None:
            return cut
    return segmenter.close(len(sound), EndReason.END_OF_STREAM)
