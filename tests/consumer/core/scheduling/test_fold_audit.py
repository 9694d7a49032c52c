from __future__ import annotations

from dataclasses import replace

import jiwer
import numpy as np
import pytest
from builders import OPTIONS, PARTITION
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.scheduling.fold_audit import MAX_WAITING, FoldAudit, disagreement
from consumer.core.scheduling.jobs import Job, JobKind
from consumer.core.streams.records import Lane, SessionKey, UtteranceId
from consumer.testing import echo

SILENT = Utterance(0, 0, 1, 1, 16_000, np.zeros(1, np.int16), EndReason.FLUSH, Speech(1, 1, 1))
FOLDED = replace(echo(SILENT.samples), folded=True, text="Hello")


def job(number: int) -> Job:
    id_ = UtteranceId(SessionKey(PARTITION, "s", "0-0"), number)
    return Job(id_, 1, JobKind.FINAL, Lane.LIVE, 0.0, 0.5, SILENT, OPTIONS)


def audited(share: float, numbers: range) -> list[int]:
    taken = []
    fold_audit = FoldAudit(share)
    for number in numbers:
        fold_audit.offer(job(number), FOLDED)
        if (audit := fold_audit.take()) is not None:
            taken.append(audit.job.id.utterance)
    return taken


def test_the_share_is_kept_and_the_selection_is_reproducible() -> None:
    assert 60 <= len(audited(0.05, range(2_000))) <= 140
    assert audited(0.05, range(2_000)) == audited(0.05, range(2_000))


def test_a_share_of_1_selects_all_and_0_none() -> None:
    assert audited(1.0, range(50)) == list(range(50))
    assert audited(0.0, range(50)) == []


def test_an_utterance_decoded_without_the_fold_is_not_audited() -> None:
    fold_audit = FoldAudit(1.0)
    fold_audit.offer(job(0), replace(FOLDED, folded=False))
    assert fold_audit.take() is None


def test_an_audit_has_no_earlier_texts() -> None:
    fold_audit = FoldAudit(1.0)
    fold_audit.offer(replace(job(0), earlier=(FOLDED,)), FOLDED)
    audit = fold_audit.take()
    assert audit is not None
    assert audit.job.earlier == ()


def test_the_oldest_waiting_audits_are_dropped() -> None:
    fold_audit = FoldAudit(1.0)
    for number in range(3 * MAX_WAITING):
        fold_audit.offer(job(number), FOLDED)
    first = fold_audit.take()
    assert first is not None
    assert first.job.id.utterance == 2 * MAX_WAITING


@pytest.mark.parametrize(
    ("one", "other", "rate"),
    [
        ("", "", 0.0),
        ("Hello, world!", "hello world", 0.0),
        ("ABC", "１２３", 1.0),
        ("今天天气很好", "今天天氣很好。", 1 / 6),
        ("", "four", 1.0),
    ],
)
def test_only_letters_and_digits_count(one: str, other: str, rate: float) -> None:
    assert disagreement(one, other) == pytest.approx(rate)


@given(st.text("abc", max_size=12), st.text("abc", min_size=1, max_size=12))
def test_edits_are_the_levenshtein_distance(one: str, other: str) -> None:
    counts = jiwer.process_characters(other, one)
    edits = counts.substitutions + counts.deletions + counts.insertions
    assert disagreement(one, other) == pytest.approx(edits / max(len(one), len(other)))
