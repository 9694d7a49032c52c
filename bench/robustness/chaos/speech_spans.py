"""The speech in a test stream, found by the product's own detector and segmenter without faults.

The loop over one stream that is wholly at hand is written here anew, so that an error in the
service's sessions cannot hide itself. Many streams are scored together, which is faster.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

from bench.robustness.chaos.spans import Span
from consumer.core.audio.segmenter import Cut, Segmenter
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Float32Array, Int16Array
from consumer.detection.detector_thread import SpeechScorer

_STEP: Final = WHISPER_RATE  # samples that are scored at once
_TOGETHER: Final = 24  # streams

_T = TypeVar("_T")
_Name = TypeVar("_Name", bound=Hashable)

# Yields a detector and the samples to score next, is sent the scores, returns the result.
Scoring: TypeAlias = Generator[tuple[Any, Int16Array], Float32Array, _T]


def speech_spans(
    scorer: SpeechScorer, streams: Iterable[tuple[_Name, Int16Array, Iterable[Span]]]
) -> dict[_Name, list[Span]]:
    """Return the speech of each stream, from the first to the last speech window of an utterance.

    `streams`: name, samples, and the stretches that were published. Between two stretches audio is
    missing, or the publisher asked for a cut.
    """
    waiting = ((name, _search(scorer, samples, parts)) for name, samples, parts in streams)
    running = {name: (search, next(search)) for name, search in islice(waiting, _TOGETHER)}
    found: dict[_Name, list[Span]] = {}
    while running:
        scores = scorer.score([request for _, request in running.values()])
        for (name, (search, _)), answer in zip([*running.items()], scores, strict=True):
            try:
                running[name] = search, search.send(answer)
            except StopIteration as done:
                found[name] = done.value
                del running[name]
                running |= {name: (search, next(search)) for name, search in islice(waiting, 1)}
    return found


def _search(
    scorer: SpeechScorer, samples: Int16Array, stretches: Iterable[Span]
) -> Scoring[list[Span]]:
    spans = []
    pre_roll = scorer.segmenter.pre_roll_ms * WHISPER_RATE // 1000
    for begin, end in stretches:
        at, in_speech = begin, False
        while at < end:
            cut = yield from _next_cut(scorer, samples[at:end], in_speech=in_speech)
            if (span := cut.span) is not None:
                start = min(span.start + (0 if in_speech else pre_roll), span.speech_end)
                spans.append((at + start, at + span.speech_end))
            at, in_speech = at + cut.at, cut.in_speech
    return spans


def _next_cut(scorer: SpeechScorer, samples: Int16Array, *, in_speech: bool) -> Scoring[Cut]:
    segmenter = Segmenter(scorer.segmenter, WHISPER_RATE, in_speech=in_speech)
    detector: Any = scorer.open(WHISPER_RATE)
    for at in range(0, len(samples), _STEP):
        scores = yield detector, samples[at : at + _STEP]
        if (cut := segmenter.push(scores)) is not None:
            return cut
    return segmenter.close(len(samples), EndReason.END_OF_STREAM)
