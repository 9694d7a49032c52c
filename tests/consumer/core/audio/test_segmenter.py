from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.segmenter import Cut, Segmenter, SegmenterConfig, UtteranceSpan
from consumer.core.audio.utterance import EndReason, Float32Array
from consumer.core.audio.windows import window_at, window_start

RATE = 16_000
WINDOW = 512  # samples of 32 ms
CONFIG = SegmenterConfig()
FRAMES = SegmenterConfig(window_ms=20, onset_windows=(8, 10))


def windows(*runs: tuple[int, float]) -> Float32Array:
    """Return the probabilities of runs of (number of windows, their probability)."""
    return np.concatenate([np.full(count, value, np.float32) for count, value in runs])


def cut_of(probabilities: Float32Array, config: SegmenterConfig = CONFIG, **how: bool) -> Cut:
    cut = Segmenter(config, RATE, **how).push(probabilities)
    assert cut is not None
    return cut


def span_of(
    probabilities: Float32Array, config: SegmenterConfig = CONFIG, **how: bool
) -> UtteranceSpan:
    span = cut_of(probabilities, config, **how).span
    assert span is not None
    return span


def test_an_utterance_is_its_speech_with_pre_roll_and_post_roll():
    cut = cut_of(windows((50, 0.1), (30, 0.9), (20, 0.1)))
    assert cut.span is not None
    assert cut.span.start == 50 * WINDOW - 4_800
    assert cut.span.speech_end == 80 * WINDOW
    assert cut.at == cut.span.end == 80 * WINDOW + 3_200
    assert cut.span.reason is EndReason.SILENCE
    assert not cut.in_speech


def test_pre_roll_stops_at_the_cut():
    assert span_of(windows((3, 0.0), (30, 0.9), (20, 0.0))).start == 0


def test_speech_is_measured_over_the_windows_of_the_utterance():
    # From window 50 - 300 ms (40.6) to 80 + 200 ms (86.25).
    speech = span_of(windows((50, 0.125), (30, 0.75), (20, 0.125))).speech
    assert speech.ratio == 30 / 47
    assert speech.peak == 0.75
    assert speech.mean == (30 * 0.75 + 17 * 0.125) / 47
    assert speech.probabilities == (0.125,) * 10 + (0.75,) * 30 + (0.125,) * 7
    assert speech.window_ms == CONFIG.window_ms


def test_an_utterance_ends_once_90_percent_of_the_last_500_ms_are_non_speech():
    segmenter = Segmenter(CONFIG, RATE)
    assert segmenter.push(windows((30, 0.9), (14, 0.0))) is None
    assert segmenter.push(windows((1, 0.0))) is not None


@pytest.mark.parametrize(("endpoint_ms", "quiet"), [(200, 6), (1_000, 28), (2_000, 56)])
def test_the_endpoint_follows_its_setting(endpoint_ms: int, quiet: int):
    segmenter = Segmenter(replace(CONFIG, endpoint_ms=endpoint_ms), RATE)
    assert segmenter.push(windows((30, 0.9), (quiet - 1, 0.0))) is None
    cut = segmenter.push(windows((1, 0.0)))
    assert cut is not None
    assert cut.at == min(30 * WINDOW + 3_200, (30 + quiet) * WINDOW)


def test_scores_between_the_thresholds_continue_speech_but_do_not_begin_it():
    assert Segmenter(CONFIG, RATE).push(windows((100, 0.4))) is None
    assert span_of(windows((10, 0.9), (20, 0.4), (20, 0.3))).speech_end == 30 * WINDOW


@pytest.mark.parametrize("onset", [[0.9, 0.9], [0.9, 0.1, 0.9]])
def test_two_speech_windows_of_three_begin_an_utterance(onset: list[float]):
    segmenter = Segmenter(CONFIG, RATE)
    segmenter.push(windows((20, 0.0)))
    segmenter.push(np.array(onset[:-1], np.float32))
    assert segmenter.open_since is None
    segmenter.push(np.array(onset[-1:], np.float32))
    assert segmenter.open_since == 20 * WINDOW - 4_800


def test_single_speech_windows_never_begin_an_utterance():
    assert Segmenter(CONFIG, RATE).push(windows(*[(1, 0.9), (2, 0.1)] * 50)) is None


def test_webrtc_frames_begin_an_utterance_with_eight_of_ten():
    segmenter = Segmenter(FRAMES, RATE)
    segmenter.push(windows((10, 0.0), (5, 1.0), (2, 0.0), (2, 1.0)))
    assert segmenter.open_since is None
    segmenter.push(windows((1, 1.0)))
    assert segmenter.open_since == 0
    assert span_of(windows((100, 0.0), (50, 1.0), (25, 0.0)), FRAMES).start == 85 * 320


def test_a_click_is_dropped_without_a_cut():
    segmenter = Segmenter(CONFIG, RATE)
    assert segmenter.push(windows((20, 0.0), (7, 0.9), (20, 0.0))) is None
    assert segmenter.open_since is None
    cut = segmenter.push(windows((8, 0.9), (20, 0.0)))
    assert cut is not None
    assert cut.span is not None
    assert cut.span.speech_end == 55 * WINDOW


def test_a_speech_window_after_the_post_roll_belongs_to_the_next_segmenter():
    span = span_of(windows((30, 0.9), (12, 0.0), (1, 0.9), (10, 0.0)))
    assert span.speech_end == 30 * WINDOW
    assert span.end < 42 * WINDOW


@pytest.mark.parametrize("pause", [0, 1, 8])
def test_the_segmenter_after_a_stall_in_speech_starts_in_speech(pause: int):
    segmenter = Segmenter(CONFIG, RATE)
    segmenter.push(windows((30, 0.9), (pause, 0.0)))
    assert segmenter.close((30 + pause) * WINDOW, EndReason.STALLED).in_speech
    rest = span_of(windows((5, 0.9), (20, 0.0)), in_speech=True)
    assert (rest.start, rest.speech_end) == (0, 5 * WINDOW)


def test_the_segmenter_after_a_stall_in_silence_starts_in_silence():
    segmenter = Segmenter(CONFIG, RATE)
    segmenter.push(windows((30, 0.0)))
    assert segmenter.close(30 * WINDOW, EndReason.STALLED) == Cut(30 * WINDOW, None)


def test_ten_seconds_of_silence_are_cut_one_pre_roll_before_their_end():
    segmenter = Segmenter(CONFIG, RATE)
    assert segmenter.push(windows((312, 0.0))) is None
    assert segmenter.push(windows((1, 0.0))) == Cut(313 * WINDOW - 4_800, None)


def test_an_utterance_of_maximum_length_is_split_in_its_quietest_window():
    speech = windows((600, 0.9))
    speech[430] = 0.5
    cut = cut_of(speech)
    assert cut.span is not None
    assert cut.in_speech
    assert cut.at == cut.span.end == cut.span.speech_end == 430 * WINDOW + WINDOW // 2
    assert cut.span.reason is EndReason.MAX_LENGTH


def test_an_utterance_of_maximum_length_is_split_in_the_middle_of_its_last_pause():
    cut = cut_of(windows((380, 0.9), (3, 0.0), (20, 0.9), (3, 0.0), (200, 0.9)))
    assert cut.span is not None
    assert cut.at == 404 * WINDOW + WINDOW // 2
    assert cut.span.speech_end == 403 * WINDOW


def test_speech_without_a_pause_at_its_end_is_split_in_an_earlier_one():
    speech = windows((330, 0.9), (3, 0.1), (270, 0.9))
    speech[430] = 0.5  # the quietest of the last 3 s, and in the middle of a word
    cut = cut_of(speech)
    assert cut.at == 331 * WINDOW + WINDOW // 2


def test_a_pause_before_the_last_third_is_not_used_for_a_split():
    speech = windows((200, 0.9), (3, 0.1), (400, 0.9))
    speech[430] = 0.5
    assert cut_of(speech).at == 430 * WINDOW + WINDOW // 2


def test_the_rest_after_a_split_is_kept_even_if_it_is_short():
    assert span_of(windows((1, 0.9), (20, 0.0)), in_speech=True).speech_end == WINDOW


def test_non_speech_right_after_a_split_does_not_count_for_the_endpoint():
    segmenter = Segmenter(CONFIG, RATE, in_speech=True)
    assert segmenter.push(windows((1, 0.0), (20, 0.9), (14, 0.0))) is None
    assert segmenter.push(windows((1, 0.0))) is not None


def test_after_a_split_silence_makes_no_utterance():
    segmenter = Segmenter(CONFIG, RATE, in_speech=True)
    assert segmenter.open_since == 0
    assert segmenter.push(windows((20, 0.0))) is None
    assert segmenter.open_since is None
    assert segmenter.push(windows((7, 0.9), (20, 0.0))) is None  # a click again


def test_closing_ends_the_open_utterance_at_the_end_of_the_audio():
    segmenter = Segmenter(CONFIG, RATE)
    segmenter.push(windows((50, 0.0), (10, 0.9), (2, 0.0)))
    cut = segmenter.close(62 * WINDOW + 100, EndReason.GAP)
    assert cut.at == 62 * WINDOW + 100
    assert cut.span is not None
    assert (cut.span.start, cut.span.end) == (50 * WINDOW - 4_800, cut.at)
    assert cut.span.speech_end == 60 * WINDOW
    assert cut.span.reason is EndReason.GAP


@pytest.mark.parametrize("speech", [0, 7])
def test_closing_without_enough_speech_is_a_silence_cut(speech: int):
    segmenter = Segmenter(CONFIG, RATE)
    segmenter.push(windows((5, 0.0), (speech, 0.9)))
    length = (5 + speech) * WINDOW
    assert segmenter.close(length, EndReason.FLUSH) == Cut(length, None)


def test_closing_without_audio_is_a_cut_at_0():
    assert Segmenter(CONFIG, RATE, in_speech=True).close(0, EndReason.GAP) == Cut(0, None)


@pytest.mark.parametrize("length", [9 * WINDOW, 11 * WINDOW])
def test_closing_requires_every_window(length: int):
    segmenter = Segmenter(CONFIG, RATE)
    segmenter.push(windows((10, 0.0)))
    with pytest.raises(ValueError, match="10 windows"):
        segmenter.close(length, EndReason.END_OF_STREAM)
    assert segmenter.close(10 * WINDOW, EndReason.END_OF_STREAM).at == 10 * WINDOW


def test_a_segmenter_cannot_be_used_after_its_cut():
    segmenter = Segmenter(CONFIG, RATE)
    assert segmenter.push(windows((30, 0.9), (20, 0.0))) is not None
    with pytest.raises(RuntimeError, match="start a new one"):
        segmenter.push(windows((1, 0.0)))
    with pytest.raises(RuntimeError, match="start a new one"):
        segmenter.close(51 * WINDOW, EndReason.FLUSH)


# Whole streams: the score of a window is the probability given for its middle.


@dataclass(frozen=True)
class ScoredAudio:
    """Audio with known speech probabilities: stretches of (milliseconds, probability)."""

    stretches: list[tuple[int, float]]
    rate: int

    @property
    def length(self) -> int:
        return sum(ms for ms, _ in self.stretches) * self.rate // 1000

    def scores(self, cut: int, config: SegmenterConfig) -> Float32Array:
        """Return the score of every complete window after a cut."""
        count = window_at(self.length - cut, config.window_ms, self.rate)
        middles = [
            cut + window_start(2 * index + 1, config.window_ms, self.rate) // 2
            for index in range(count)
        ]
        ends = np.cumsum([ms * self.rate // 1000 for ms, _ in self.stretches])
        values = np.array([value for _, value in self.stretches] + [0.0], np.float32)
        return values[np.searchsorted(ends, middles, side="right")]


def portions(probabilities: Float32Array, sizes: Iterator[int]) -> Iterable[Float32Array]:
    while len(probabilities):
        size = next(sizes)
        yield probabilities[:size]
        probabilities = probabilities[size:]


def cuts_of(
    scored_audio: ScoredAudio, config: SegmenterConfig, sizes: list[int]
) -> list[tuple[int, Cut]]:
    """Return every cut with the position of the cut before it; each part is scored anew."""
    cuts: list[tuple[int, Cut]] = []
    cut_at, in_speech, portion_sizes = 0, False, itertools.cycle(sizes)
    while True:
        segmenter = Segmenter(config, scored_audio.rate, in_speech=in_speech)
        scores = portions(scored_audio.scores(cut_at, config), portion_sizes)
        cut = next(filter(None, map(segmenter.push, scores)), None)
        if cut is None:
            cut = segmenter.close(scored_audio.length - cut_at, EndReason.END_OF_STREAM)
            return [*cuts, (cut_at, cut)]
        cuts.append((cut_at, cut))
        cut_at, in_speech = cut_at + cut.at, cut.in_speech


SCORES = st.sampled_from([0.0, 0.1, 0.34, 0.4, 0.6, 0.9, 1.0])
SCORED_AUDIO = st.builds(
    ScoredAudio,
    st.lists(st.tuples(st.integers(1, 6_000), SCORES), max_size=25),
    st.sampled_from([8_000, 11_025, 16_000, 44_100]),
)
CONFIGS = st.builds(
    replace,
    st.sampled_from([CONFIG, FRAMES]),
    endpoint_ms=st.integers(200, 2_000),
    max_utterance_ms=st.integers(5_000, 28_000),
)
SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=5)


@given(SCORED_AUDIO, CONFIGS, SIZES)
def test_cuts_do_not_depend_on_the_portions(
    scored_audio: ScoredAudio, config: SegmenterConfig, sizes: list[int]
):
    once = cuts_of(scored_audio, config, [10**6])
    again = cuts_of(scored_audio, config, sizes)
    assert list(map(plain, once)) == list(map(plain, again))


def plain(cut: tuple[int, Cut]) -> object:
    cut_at, made = cut
    span = None if made.span is None else (*astuple(made.span)[:4], astuple(made.span.speech))
    return cut_at, made.at, made.in_speech, span


@given(SCORED_AUDIO, CONFIGS)
def test_spans_are_ordered_inside_the_audio_and_never_too_long(
    scored_audio: ScoredAudio, config: SegmenterConfig
):
    cuts = cuts_of(scored_audio, config, [100])
    longest = config.max_utterance_ms * scored_audio.rate // 1000
    for cut_at, cut in cuts:
        assert cut.at > 0 or scored_audio.length == cut_at
        if cut.span is not None:
            assert 0 <= cut.span.start < cut.span.speech_end <= cut.span.end == cut.at
            assert cut.span.end - cut.span.start <= longest
            assert 0 < cut.span.speech.mean <= cut.span.speech.peak <= 1
            assert 0 < cut.span.speech.ratio <= 1
    assert sum(cut.at for _, cut in cuts) == scored_audio.length


@given(SCORED_AUDIO, CONFIGS)
def test_no_split_lies_in_the_leading_part_of_uncut_ms(
    scored_audio: ScoredAudio, config: SegmenterConfig
):
    window = config.window_ms * scored_audio.rate // 1000 + 1
    uncut = config.uncut_ms * scored_audio.rate // 1000 - 2 * window
    for _, cut in cuts_of(scored_audio, config, [100]):
        if cut.span is not None and cut.span.reason is EndReason.MAX_LENGTH:
            assert cut.span.end - cut.span.start >= uncut


@given(SCORED_AUDIO, CONFIGS)
def test_all_speech_is_in_an_utterance(scored_audio: ScoredAudio, config: SegmenterConfig):
    kept = np.zeros(scored_audio.length + 1, bool)
    for cut_at, cut in cuts_of(scored_audio, config, [100]):
        if cut.span is not None:
            kept[cut_at + cut.span.start : cut_at + cut.span.end] = True
    # The position of the grid is arbitrary, so one window on each side is tolerated.
    window = config.window_ms * scored_audio.rate // 1000 + 1
    end = 0
    for length_ms, probability in scored_audio.stretches:
        start, end = end, end + length_ms * scored_audio.rate // 1000
        if probability >= config.onset and length_ms >= config.min_speech_ms + 2 * config.window_ms:
            assert kept[start + window : end - window].all()
