from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.engine.engines.catalog import FASTER_WHISPER, OPENAI_WHISPER, PEERS, streamscribe
from bench.engine.memory import Resident
from bench.engine.speed import CaseRuns, SpeedCase, SpeedPlan, SpeedResult, spread
from bench.engine.worker import total_s
from bench.quality.recordings import Recording

OWN = streamscribe("bf16")
CLIPS = {"en": [Recording("a", "en", "red green blue grey", np.zeros(32_000, np.float32))]}
TEXT = ("red green blue",)
PLAN = SpeedPlan([OWN], [FASTER_WHISPER], CLIPS, (1, 8), (True, False), 3, utterance_s=None)


def runs(*rtfx: float) -> CaseRuns:
    return CaseRuns(rtfx, TEXT)


def case(batch: int, *, words: bool, engine: str = OWN.name) -> SpeedCase:
    return SpeedCase(engine, "en", batch, words)


FOUND = SpeedResult(
    PLAN,
    {
        case(1, words=False): runs(40, 50, 45),
        case(8, words=False): runs(60, 80, 70),
        case(8, words=True): runs(50, 80, 56),
        case(1, words=False, engine="faster-whisper"): runs(10, 10, 9),
        case(1, words=True, engine="faster-whisper"): runs(5, 5, 7),
    },
    {OWN.name: Resident(500, 700)},
)


def test_a_spread_is_median_and_extremes():
    assert spread("x", [3, 1, 2.26]) == {"x": 2.26, "x_low": 1, "x_high": 3}


def test_a_ratio_is_taken_within_each_round():
    assert FOUND.ratios(case(1, words=False), FASTER_WHISPER) == [4, 5, 5]


def test_a_peer_that_takes_one_clip_is_compared_with_every_batch():
    assert FOUND.ratios(case(8, words=True), FASTER_WHISPER) == [10, 16, 8]


def test_the_cost_of_words_is_the_time_that_they_add():
    assert FOUND.words_cost(case(8, words=True)) == pytest.approx([0.2, 0, 0.25])
    assert FOUND.words_cost(case(8, words=False)) == []


def test_checks_compare_speed_and_the_cost_of_words_with_their_targets():
    found = {check.name: check for check in FOUND.checks()}
    times = [found[f"en.batch_{n}.words_off.{OWN.name}.times_faster-whisper"] for n in (1, 8)]
    assert [(check.value, check.limit, check.ok) for check in times] == [
        (5, 4, True),
        (pytest.approx(7 + 7 / 9), 7, True),
    ]
    cost = found[f"en.batch_8.words_on.{OWN.name}.words_cost"]
    assert (cost.limit, cost.ok) == (0.15, False)
    assert len(found) == 3


def test_cuts_have_their_own_limit_and_other_lengths_none():
    cut, other = (replace(FOUND, plan=replace(PLAN, utterance_s=s)) for s in (4.0, 5.0))
    assert [check.limit for check in cut.checks()] == [12, 0.15]
    assert [check.limit for check in other.checks()] == [0.15]


def test_targets_without_bf16_products_are_those_of_avx2():
    own = replace(OWN, dtype="int8")
    checks = [*replace(FOUND, plan=replace(PLAN, own=[own])).checks()]
    assert [check.limit for check in checks] == [2.5, 4, 0.15]


def test_figures_have_spread_errors_ratios_and_memory():
    found = FOUND.figures()
    name = f"en.batch_1.words_off.{OWN.name}"
    assert found[f"{name}.rtfx"] == 45
    assert found[f"{name}.rtfx_low"] == 40
    assert found[f"{name}.error_percent"] == 25
    assert found[f"{name}.times_faster-whisper_high"] == 5
    assert found["en.batch_1.words_on.faster-whisper.words_cost"] == pytest.approx(1)
    assert found[f"{OWN.name}.peak_mb"] == 700


def test_the_error_rate_of_cut_clips_is_unknown():
    cut = {"en": [Recording("a", "en", "", np.zeros(9, np.float32))]}
    found = replace(FOUND, plan=replace(PLAN, clips=cut))
    assert found.error_percent(case(1, words=False)) is None


def test_a_round_has_every_engine_with_every_batch_that_it_takes():
    plan = replace(PLAN, peers=[OPENAI_WHISPER, PEERS["transformers"]])
    assert total_s(plan.passes.values()) == 2 * (2 + 1 + 2) * 2
    assert [each.engine for each in plan.passes if each.words] == [
        *(OWN.name, OWN.name),
        *("openai-whisper", "transformers", "transformers"),
    ]
