"""The engine jobs of an utterance."""

from __future__ import annotations

from dataclasses import replace

from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.utterance_state import Excerpt, UtteranceRecord
from consumer.core.scheduling.jobs import Job, JobKind
from consumer.core.streams.entries import InterimDecode
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.core.text.missing_speech import merged
from schemas.audio import StreamOptions
from schemas.languages import bcp47


def final_job(record: UtteranceRecord, policy: PartitionPolicy, epoch: int, deadline: float) -> Job:
    """Return the job for the final of a closed utterance, or for its innermost excerpt."""
    pending = record.pending
    assert pending is not None
    inner = record.excerpts[-1] if record.excerpts else None
    return Job(
        id=record.id,
        epoch=epoch,
        kind=JobKind.FINAL,
        lane=policy.lane,
        closed_at=record.closed_at,
        deadline=deadline,
        utterance=pending.utterance if inner is None else inner.utterance,
        options=pending.options if inner is None else _options_of(pending.options, inner),
        language=pending.language,
        isolated=record.is_isolated,
        earlier=record.earlier if inner is None else (),
        request=record.requests,
        is_excerpt=inner is not None,
    )


def interim_job(decode: InterimDecode, policy: PartitionPolicy, epoch: int, now: float) -> Job:
    """Return the job for an open utterance as it is now."""
    options = decode.options
    return Job(
        id=decode.id,
        epoch=epoch,
        kind=JobKind.INTERIM,
        lane=policy.lane,
        closed_at=now,
        deadline=now + policy.interim.every_s,
        utterance=decode.utterance,
        options=replace(options, words=True) if options.partials else options,
        language=decode.language,
    )


def merged_text(outer: Excerpt, part: TimedHypothesis) -> TimedHypothesis:
    """Return the outer text with the text of its excerpt inserted."""
    return replace(
        outer.text,
        hypothesis=merged(outer.text.hypothesis, outer.missing, part.hypothesis),
        decode_ms=outer.text.decode_ms + part.decode_ms,
        done_ms=part.done_ms,
    )


def _options_of(options: StreamOptions, inner: Excerpt) -> StreamOptions:
    """Return the options of an excerpt: it is decoded in the language of the outer text."""
    return replace(options, languages=(bcp47(inner.text.hypothesis.language),), words=True)
