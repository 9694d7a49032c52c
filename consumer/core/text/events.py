"""The events of an utterance: its final, or its failure and dead letter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from consumer.core.audio.utterance import Utterance
from consumer.core.streams.entries import DeadLetter, PendingUtterance
from consumer.core.streams.records import Record
from consumer.core.text.chinese import Orthography, prompt
from consumer.core.text.hallucination import Given
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis, TimedWord
from consumer.core.text.quality import Assessment, assess, confidence
from schemas.audio import StreamOptions, Task
from schemas.errors import Reason
from schemas.headers import fitting
from schemas.languages import bcp47
from schemas.options import encode_options
from schemas.transcript import Model, Timing, TranscriptFinal, UtteranceFailed, Word


@dataclass(frozen=True, slots=True)
class FinalPolicy:
    """Settings of finals."""

    orthography: Orthography = field(default_factory=Orthography)
    publish_suppressed: bool = False  # suppressed text, in `suppressed_text`


DEFAULT_POLICY: Final = FinalPolicy()


def final(
    pending: PendingUtterance,
    decoded: TimedHypothesis,
    model: Model,
    policy: FinalPolicy = DEFAULT_POLICY,
) -> TranscriptFinal:
    """Return the final. A suppressed one has an empty text, its number and its reasons."""
    utterance = pending.utterance
    found = decoded.hypothesis
    if not pending.options.words:
        found = replace(found, words=None)  # interim decodes have words for their partials
    assessment, hypothesis = rendered(found, utterance, pending.options, policy)
    suppressed = assessment.is_suppressed
    return TranscriptFinal(
        stream_id=pending.id.session.stream_id,
        session_id=pending.id.session.session_id,
        index=pending.index,
        time_ms=pending.ended_at_ms,
        traceparent=pending.traceparent,
        utterance=utterance.number,
        start_s=utterance.start / utterance.rate,
        end_s=utterance.end / utterance.rate,
        speech_end_s=utterance.speech_end / utterance.rate,
        start_sample=utterance.start,
        end_sample=utterance.end,
        rate=utterance.rate,
        started_at_ms=pending.started_at_ms,
        end_reason=utterance.end_reason,
        language=bcp47(hypothesis.language),
        language_probability=hypothesis.language_probability,
        text="" if suppressed else hypothesis.text,
        words=None if suppressed else _words(hypothesis.words, utterance.start / utterance.rate),
        confidence=confidence(hypothesis),
        quality=assessment.quality,
        model=replace(model, fold=hypothesis.folded),
        source=pending.source,
        timing=Timing(
            speech_end_to_final_ms=decoded.done_ms - pending.speech_end_ms,
            queue_ms=decoded.queue_ms,
            decode_ms=decoded.decode_ms,
        ),
        suppressed_text=assessment.removed if policy.publish_suppressed else None,
    )


def rendered(
    hypothesis: Hypothesis, utterance: Utterance, options: StreamOptions, policy: FinalPolicy
) -> tuple[Assessment, Hypothesis]:
    """Return the assessment of a text, and the text as it is published unless suppressed."""
    task = options.task or Task.TRANSCRIBE
    given = Given(prompt(hypothesis.language, options.prompt, task), options.hotwords)
    assessment = assess(hypothesis, utterance, given, task)
    normalised = policy.orthography.normalise(assessment.hypothesis, options.languages or ())
    return assessment, normalised


def failed(pending: PendingUtterance) -> UtteranceFailed:
    """Return the event in place of the final of an utterance that cannot be decoded."""
    utterance = pending.utterance
    return UtteranceFailed(
        stream_id=pending.id.session.stream_id,
        session_id=pending.id.session.session_id,
        index=pending.index,
        time_ms=pending.ended_at_ms,
        traceparent=pending.traceparent,
        utterance=utterance.number,
        start_sample=utterance.start,
        end_sample=utterance.end,
        rate=utterance.rate,
        reason=Reason.UNDECODABLE,
    )


def undecodable(pending: PendingUtterance, error: str | None) -> DeadLetter:
    """Return the dead letter of an undecodable utterance: a record that can be published again.

    `error`: class of the exception, or None if its decodes ended the worker.
    """
    utterance, session = pending.utterance, pending.id.session
    headers = [
        ("codec", b"flac"),
        ("start", b"%d" % utterance.start),
        ("captured_ms", b"%d" % pending.started_at_ms),
    ]
    if pending.traceparent is not None:
        headers.append(("traceparent", pending.traceparent.encode()))
    record = Record(
        session.partition,
        pending.source.first_offset,
        pending.ended_at_ms,
        session.stream_id.encode(),
        None,
        tuple(fitting(headers, encode_options(pending.options))),
    )
    cause = (
        f"{pending.attempts} decodes of this utterance each ended the worker"
        if error is None
        else f"{error} was raised for this utterance and no other"
    )
    message = f"{cause}: find the cause in the worker's log, then redrive this record"
    return DeadLetter(record, Reason.UNDECODABLE, message, utterance=utterance)


def _words(words: tuple[TimedWord, ...] | None, offset_s: float) -> tuple[Word, ...] | None:
    if words is None:
        return None
    return tuple(
        Word(w.text, offset_s + w.start_s, offset_s + w.end_s, w.probability) for w in words
    )
