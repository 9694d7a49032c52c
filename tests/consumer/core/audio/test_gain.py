from __future__ import annotations

import numpy as np
import pytest
from budget import examples
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.gain import (
    MAX_DB,
    NOISE_DB,
    TARGET_DB,
    GainWork,
    RunningGain,
    amplify,
    levelled,
)
from consumer.core.audio.utterance import Float32Array, Int16Array

WINDOW_MS, WINDOW = 20, 320


def windows(db: float, count: int, seed: int = 0) -> list[Int16Array]:
    """Return windows of white noise at a level in dB of full scale."""
    noise = np.random.default_rng(seed).normal(0, 32_768 * 10 ** (db / 20), (count, WINDOW))
    return [*np.clip(np.rint(noise), -32_768, 32_767).astype(np.int16)]


def level(window: Int16Array) -> float:
    return float(20 * np.log10(max(window.std(), 1e-3) / 32_768))


def amplified(*parts: list[Int16Array]) -> list[Int16Array]:
    gain = RunningGain(WINDOW_MS)
    return [each for part in parts for each in amplify([GainWork(gain, part)])[0]]


@pytest.mark.parametrize("db", [-30, -40, -50, -60])
def test_quiet_speech_reaches_the_target_once_it_begins(db: float):
    pause, speech = windows(-90, 50), windows(db, 50)
    found = [level(window) for window in amplified(pause, speech)[50:]]
    assert found == pytest.approx([TARGET_DB] * 50, abs=1.5)


def test_audio_at_a_usual_level_is_not_changed():
    speech = windows(-15, 100)
    assert all(map(np.array_equal, amplified(speech), speech))


@pytest.mark.parametrize("db", [-50, -60, -70])
def test_noise_alone_stays_below_its_limit(db: float):
    assert max(map(level, amplified(windows(db, 500)))) < NOISE_DB + 2


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(windows(-90, 1), id="the recording fades in"),
        pytest.param([np.zeros(WINDOW, np.int16)] * 30, id="digital silence"),
        pytest.param([np.zeros(WINDOW, np.int16)] * 30 + windows(-70, 1), id="both"),
    ],
)
def test_background_after_silence_that_is_none_is_not_amplified(before: list[Int16Array]):
    background = windows(-43, 100)
    found = amplified(before, background)[len(before) :]
    assert all(map(np.array_equal, found, background))


def test_after_loud_speech_quiet_speech_is_amplified_within_seconds():
    pause = windows(-90, 25)
    found = amplified(pause, windows(-20, 50), *[pause, windows(-50, 100)] * 6)
    assert level(found[105]) < -40
    assert level(found[-1]) == pytest.approx(TARGET_DB, abs=1.5)


def test_a_constant_offset_is_no_sound():
    quiet = [window + np.int16(5_000) for window in windows(-60, 50)]
    plain = amplified(windows(-90, 1), windows(-60, 50))
    biased = amplified([np.full(WINDOW, 5_000, np.int16)], quiet)
    assert [level(each) for each in biased[20:]] == pytest.approx(
        [level(each) for each in plain[20:]], abs=3
    )


@examples(100)
@given(
    levels=st.lists(st.floats(-100, 0), min_size=1, max_size=40),
    seed=st.integers(0, 1 << 16),
)
def test_no_window_becomes_quieter_or_wraps(levels: list[float], seed: int):
    given_windows = [windows(db, 1, seed)[0] for db in levels]
    for before, after in zip(given_windows, amplified(given_windows), strict=True):
        assert after.dtype == np.int16
        assert level(after) >= level(before) - 0.1
        assert np.corrcoef(after, before)[0, 1] > 0.8 or level(before) < -90


@examples(30)
@given(st.lists(st.tuples(st.floats(-100, 0), st.integers(0, 12)), max_size=8))
def test_windows_of_many_streams_are_as_each_alone(drawn: list[tuple[float, int]]):
    streams = [windows(db, count, seed) for seed, (db, count) in enumerate(drawn)]
    odd = [[window[: WINDOW - index % 2] for index, window in enumerate(each)] for each in streams]
    together = amplify([GainWork(RunningGain(WINDOW_MS), each) for each in odd])
    for given_windows, found in zip(odd, together, strict=True):
        gain = RunningGain(WINDOW_MS)
        alone = [amplify([GainWork(gain, [window])])[0][0] for window in given_windows]
        assert all(map(np.array_equal, found, alone))


# --- a clip for Whisper


def noise(db: float) -> Float32Array:
    return np.random.default_rng(0).normal(0, 10 ** (db / 20), 16_000).astype(np.float32)


def rms_db(samples: Float32Array) -> float:
    return float(20 * np.log10(samples.std()))


@pytest.mark.parametrize("db", [-36, -45, -60])
def test_a_quiet_clip_reaches_the_target(db: float):
    assert rms_db(levelled(noise(db))) == pytest.approx(TARGET_DB, abs=0.1)


@pytest.mark.parametrize("db", [-34, -26, -6])
def test_a_clip_at_a_usual_level_is_not_changed(db: float):
    clip = noise(db)
    assert levelled(clip) is clip


def test_the_gain_of_a_clip_is_bounded():
    assert rms_db(levelled(noise(-90))) == pytest.approx(-90 + MAX_DB, abs=0.1)
    assert not levelled(np.zeros(100, np.float32)).any()


def test_a_constant_offset_is_not_amplified():
    assert levelled(noise(-60) + np.float32(0.3)) == pytest.approx(levelled(noise(-60)), abs=0.01)


@examples(50)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50))
def test_samples_stay_in_range(values: list[float]):
    found = levelled(np.array(values, np.float32))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (np.abs(found) <= 1).all()
