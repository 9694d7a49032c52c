"""A watch on the fold in service: a small share of utterances is decoded padded too.

Only when nothing waits for the model. How far the two texts differ is a metric; folding that has
gone wrong on some kind of speech shows there before a user tells.
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

MAX_WAITING = 8  # a check that comes late is worth no less, but old audio costs memory


_BUCKETS = 1 << 16


class AuditJob(NamedTuple):
    """An utterance to be decoded padded, and what it was folded."""

    job: Job
    folded_text: str


class FoldAudit:
    """Chooses by the utterance's name, so that every run over the same log chooses alike."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._waiting: deque[AuditJob] = deque(maxlen=MAX_WAITING)

    def offer(self, job: Job, hypothesis: Hypothesis) -> None:
        """Note a folded utterance, if it is one of the share."""
        if hypothesis.folded and _bucket(job.id) < self._share * _BUCKETS:
            self._waiting.append(AuditJob(replace(job, earlier=()), hypothesis.text))

    def take(self) -> AuditJob | None:
        """The oldest that waits."""
        return self._waiting.popleft() if self._waiting else None


def disagreement(one: str, other: str) -> float:
    """Edits between two texts per character of the longer, 0..1: letters and digits alone count."""
    a, b = _letters(one), _letters(other)
    return _edits(a, b) / max(len(a), len(b), 1)


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def _edits(a: str, b: str) -> int:
    """Levenshtein's distance, a row at a time."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


def _bucket(job: UtteranceId) -> int:
    name = f"{job.session.stream_id}/{job.session.session_id}/{job.utterance}"
    return zlib.crc32(name.encode()) % _BUCKETS
