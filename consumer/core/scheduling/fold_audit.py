"""The fold audit: a small share of utterances is decoded again without the fold.

It runs only while no job waits. How far the two texts differ is a metric, which shows whether
folding fails on some kind of speech.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections import deque
from dataclasses import replace
from typing import NamedTuple

from consumer.core.scheduling.jobs import Job
from consumer.core.streams.records import UtteranceId
from consumer.core.text.hypothesis import Hypothesis

MAX_WAITING = 8  # audits that wait; each holds its audio in memory
_BUCKETS = 1 << 16


class AuditJob(NamedTuple):
    """An utterance to decode without the fold, and its text with it."""

    job: Job
    folded_text: str


class FoldAudit:
    """Selects by a hash of the utterance's id, so that a replay selects the same ones."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._waiting: deque[AuditJob] = deque(maxlen=MAX_WAITING)

    def offer(self, job: Job, hypothesis: Hypothesis) -> None:
        """Queue the utterance if it was folded and is in the share."""
        if hypothesis.folded and _bucket(job.id) < self._share * _BUCKETS:
            self._waiting.append(AuditJob(replace(job, earlier=()), hypothesis.text))

    def take(self) -> AuditJob | None:
        """Return the oldest audit that waits, or None."""
        return self._waiting.popleft() if self._waiting else None


def disagreement(one: str, other: str) -> float:
    """Return the edits between two texts by the longer one's letters and digits, 0..1."""
    a, b = _letters(one), _letters(other)
    return _edits(a, b) / max(len(a), len(b), 1)


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def _edits(a: str, b: str) -> int:
    """Return the Levenshtein distance, computed row by row."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


def _bucket(job: UtteranceId) -> int:
    name = f"{job.session.stream_id}/{job.session.session_id}/{job.utterance}"
    return zlib.crc32(name.encode()) % _BUCKETS
