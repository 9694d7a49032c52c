from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pytest
from live_observations import CLIPS, CONVERSATION, RATE

from bench.live.clips import ClipSet
from bench.live.conversations import SpeechClip
from bench.live.scenarios import SCENARIOS, ScenarioFactory, clips_to_compare
from consumer.errors import ConfigError

ASKED = argparse.Namespace(
    streams=4, minutes=0.5, pace=2.0, partials="on", noise=None, seed=1, scenarios=SCENARIOS
)
HUM = SpeechClip("hum", "und", "", np.full(RATE, 300, np.int16), ())
CLIP_SET = ClipSet(
    speech={"en": CLIPS, "zh": [replace(clip, language="zh") for clip in CLIPS]},
    long=[replace(CONVERSATION, reference="red green blue white")],
    silent=[HUM] * 6,
)


def factory(clips: ClipSet = CLIP_SET, **asked: object) -> ScenarioFactory:
    return ScenarioFactory(clips, argparse.Namespace(**(vars(ASKED) | asked)))


def test_conversations_are_in_the_languages_of_the_clips_in_turn():
    talk = factory().round(0)["talk"]
    assert [each.language for each in talk.conversations] == ["en", "zh", "en", "zh"]
    assert (talk.pace, talk.partials) == (2.0, True)


def test_rounds_have_other_conversations_and_only_the_first_has_other_scenarios():
    first, second = (factory().round(number) for number in range(2))
    assert ([*first], [*second]) == ([*SCENARIOS], ["talk"])
    names = [{each.stream_id for each in made["talk"].conversations} for made in (first, second)]
    assert not names[0] & names[1]


def test_scenarios_that_were_not_asked_for_or_have_no_clips_are_left_out():
    assert [*factory(scenarios=["long", "silent"]).round(0)] == ["long", "silent"]
    assert [*factory(replace(CLIP_SET, long=[]), scenarios=["long", "silent"]).round(0)] == [
        "silent"
    ]


def test_an_overload_is_three_times_the_streams_of_which_half_the_number_stays():
    overload = factory().round(0)["overload"].conversations
    staying = [each for each in overload if each.seconds > 200]
    assert (len(overload), len(staying)) == (12, 2)
    assert all(each.stream_id.startswith("leaves") is (each not in staying) for each in overload)


def test_clips_without_speech_are_distributed_over_the_streams():
    silent = factory().round(0)["silent"].conversations
    assert [len(each.clips) for each in silent] == [2, 2, 1, 1]
    assert [each.language for each in silent] == ["en", "zh", "en", "zh"]


def test_the_clips_of_talk_and_long_are_compared_with_their_whole_decodes():
    made = factory(scenarios=["long", "silent"]).round(0)
    assert clips_to_compare([made, {}]) == CLIPS


def test_noise_lies_under_all_speech_but_not_under_clips_without_speech():
    loud = {"en": [replace(CLIPS[0], samples=np.full(2 * RATE, 3000, np.int16))]}
    made = factory(replace(CLIP_SET, speech=loud, long=[]), noise=20.0).round(0)
    assert all(each.noise is None for each in made["silent"].conversations)
    for conversation in made["talk"].conversations:
        assert conversation.noise == pytest.approx(np.full(RATE, 300), abs=1)


def test_noise_needs_a_clip_of_noise():
    with pytest.raises(ConfigError, match="nonspeech"):
        factory(replace(CLIP_SET, silent=[]), noise=10.0).round(0)
