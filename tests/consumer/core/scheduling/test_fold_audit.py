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


def chosen(share: float, numbers: range) -> list[int]:
    taken = []
    shadow = FoldAudit(share)
    for number in numbers:
        shadow.offer(job(number), FOLDED)
        if (check := shadow.take()) is not None:
            taken.append(check.job.id.utterance)
    return taken


def test_the_share_is_kept_and_the_choice_repeats() -> None:
    assert 60 <= len(chosen(0.05, range(2_000))) <= 140
    assert chosen(0.05, range(2_000)) == chosen(0.05, range(2_000))


def test_all_or_none_can_be_asked_for() -> None:
    assert chosen(1.0, range(50)) == list(range(50))
    assert chosen(0.0, range(50)) == []


def test_what_was_not_folded_is_not_checked() -> None:
    shadow = FoldAudit(1.0)
    shadow.offer(job(0), replace(FOLDED, folded=False))
    assert shadow.take() is None


def test_a_check_begins_where_the_text_began() -> None:
    shadow = FoldAudit(1.0)
    shadow.offer(replace(job(0), earlier=(FOLDED,)), FOLDED)
    check = shadow.take()
    assert check is not None
    assert check.job.earlier == ()


def test_few_wait_and_the_oldest_are_dropped() -> None:
    shadow = FoldAudit(1.0)
    for number in range(3 * MAX_WAITING):
        shadow.offer(job(number), FOLDED)
    first = shadow.take()
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
def test_edits_are_levenshtein_s(one: str, other: str) -> None:
    counts = jiwer.process_characters(other, one)
    edits = counts.substitutions + counts.deletions + counts.insertions
    assert disagreement(one, other) == pytest.approx(edits / max(len(one), len(other)))
