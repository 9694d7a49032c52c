from __future__ import annotations

import numpy as np
import pytest

from bench.engines.catalog import FASTER_WHISPER, OPENAI_WHISPER, PEERS, ours
from bench.memory import Resident
from bench.recordings import Recording
from bench.speed import (
    Case,
    Measured,
    Plan,
    Runs,
    checks,
    error_percent,
    figures,
    ratios,
    spread,
    tables,
    words_cost,
    work_s,
)

OURS = ours("bf16")
CLIPS = {"en": [Recording("a", "en", "red green blue grey", np.zeros(32_000, np.float32))]}
TEXT = ("red green blue",)
PLAN = Plan(batches=(1, 8), words=(True, False), rounds=3, utterance_s=None)


def runs(*rtfx: float) -> Runs:
    return Runs(rtfx, TEXT)


MEASURED = Measured(
    {
        Case(OURS.name, "en", 1, words=False): runs(40, 50, 45),
        Case(OURS.name, "en", 8, words=False): runs(60, 80, 70),
        Case(OURS.name, "en", 8, words=True): runs(50, 80, 56),
        Case("faster-whisper", "en", 1, words=False): runs(10, 10, 9),
        Case("faster-whisper", "en", 1, words=True): runs(5, 5, 7),
    },
    {OURS.name: Resident(500, 700)},
)
PEERS_USED = [FASTER_WHISPER]


def test_a_spread_is_median_and_extremes():
    assert str(spread([3, 1, 2.26])) == "2.3 (1.0-3.0)"


def test_a_ratio_is_taken_within_each_round():
    found = ratios(MEASURED, Case(OURS.name, "en", 1, words=False), FASTER_WHISPER)
    assert (found.median, found.low, found.high) == (5, 4, 5)


def test_a_peer_that_takes_one_clip_is_compared_with_every_batch():
    found = ratios(MEASURED, Case(OURS.name, "en", 8, words=True), FASTER_WHISPER)
    assert (found.median, found.low, found.high) == (10, 8, 16)


def test_the_cost_of_words_is_the_time_that_they_add():
    cost = words_cost(MEASURED, Case(OURS.name, "en", 8, words=True))
    assert cost is not None
    assert (cost.median, cost.low, cost.high) == (pytest.approx(0.2), 0, pytest.approx(0.25))
    assert words_cost(MEASURED, Case(OURS.name, "en", 8, words=False)) is None


def test_the_checks_are_those_of_the_issue():
    found = {check.name: check for check in checks(MEASURED, PLAN, OURS, PEERS_USED)}
    times = [found[f"en.batch_{n}.words_off.{OURS.name}.times_faster-whisper"] for n in (1, 8)]
    assert [(check.value, check.limit, check.ok) for check in times] == [
        (5, 4, True),
        (pytest.approx(7 + 7 / 9), 7, True),
    ]
    cost = found[f"en.batch_8.words_on.{OURS.name}.words_cost"]
    assert (cost.limit, cost.ok) == (0.15, False)
    assert len(found) == 3


def test_cuts_have_their_own_limit_and_other_lengths_none():
    cut, other = (Plan((8,), (False,), 3, seconds) for seconds in (4.0, 5.0))
    limits = [check.limit for check in checks(MEASURED, cut, OURS, PEERS_USED)]
    assert limits == [12, 0.15]
    assert [check.limit for check in checks(MEASURED, other, OURS, PEERS_USED)] == [0.15]


def test_figures_have_spread_errors_ratios_and_memory():
    found = figures(MEASURED, [OURS], PEERS_USED, CLIPS)
    name = f"en.batch_1.words_off.{OURS.name}"
    assert found[f"{name}.rtfx"] == 45
    assert found[f"{name}.rtfx_low"] == 40
    assert found[f"{name}.error_percent"] == 25
    assert found[f"{name}.times_faster-whisper_high"] == 5
    assert found["en.batch_1.words_on.faster-whisper.words_cost"] == pytest.approx(1)
    assert found[f"{OURS.name}.peak_mb"] == 700


def test_what_is_said_in_a_cut_clip_is_unknown():
    cut = [Recording("a", "en", "", np.zeros(9, np.float32))]
    assert error_percent(runs(1), cut) is None


def test_work_counts_every_pass():
    variants = [OURS, OPENAI_WHISPER, PEERS["transformers"]]
    assert work_s(PLAN, variants, CLIPS) == 2 * (2 + 1 + 2) * 2 * 3


def test_there_is_a_table_for_each_kind_of_work_and_one_of_memory():
    titles = [table.title for table in tables(MEASURED, [OURS], PEERS_USED, CLIPS)]
    assert [str(title).split(":")[0] for title in titles] == [
        "en, word times off",
        "en, word times on",
        "resident memory of each engine's process",
    ]
