"""The settings of every partition of a topic."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.core.partition.interim import InterimPolicy
from consumer.core.partition.stream_admission import StreamLimits
from consumer.core.streams.records import Lane
from consumer.core.streams.stream import StreamPolicy
from consumer.core.text.events import FinalPolicy
from schemas.transcript import Model


@dataclass(frozen=True, slots=True)
class PartitionPolicy:
    lane: Lane
    from_earliest: bool  # whether a new group begins at the log's start; else at its end
    stream: StreamPolicy
    split_channels: bool  # whether each channel of a stream becomes a stream of its own
    model: Model
    finals: FinalPolicy
    interim: InterimPolicy
    final_within_s: float  # deadline of a final, from the end of its utterance
    limits: StreamLimits
    stall_s: float  # an open utterance ends after this long without a record
    stall_in_speech_s: float  # likewise in the middle of speech, or while a record is missing
    idle_s: float  # a stream ends after this long without a record, in append time
