from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import TopicFound, Topics, differences, topic_specs, valid_stream_id

TOPICS = Topics()


def conforming(topics: Topics, *, partitions: int = 4, replicas: int = 3) -> list[TopicFound]:
    return [
        TopicFound(
            name=spec.name,
            partitions=partitions,
            replication_factor=replicas,
            settings={key: str(value) for key, value in spec.required.items()},
        )
        for spec in topic_specs(topics, replicas)
    ]


def with_setting(name: str, key: str, value: str) -> list[TopicFound]:
    return [
        replace(topic, settings={**topic.settings, key: value}) if topic.name == name else topic
        for topic in conforming(TOPICS)
    ]


def test_names_are_derived_from_the_prefix():
    assert list(Topics("calls")) == [
        "calls.audio.v1",
        "calls.audio.bulk.v1",
        "calls.transcripts.v1",
        "calls.partials.v1",
        "calls.audio.dlq.v1",
        "calls.state.v1",
    ]


def test_a_single_name_can_be_set():
    topics = Topics("calls", audio="telephony.pcm")
    assert (topics.audio, topics.audio_bulk) == ("telephony.pcm", "calls.audio.bulk.v1")


@pytest.mark.parametrize("name", ["with space", "ü", "a" * 250, "."])
def test_a_name_that_kafka_would_reject_is_rejected(name: str):
    with pytest.raises(ValueError, match="no topic name"):
        Topics(audio=name)


def test_two_topics_cannot_share_a_name():
    with pytest.raises(ValueError, match="two topics have the same name"):
        Topics(transcripts="speech.partials.v1")


@pytest.mark.parametrize("stream_id", ["a", "call:2024-05-01.7_b", "x" * 128])
def test_valid_stream_ids_are_accepted(stream_id: str):
    assert valid_stream_id(stream_id)


@pytest.mark.parametrize("stream_id", ["", "x" * 129, "two words", "naïve", "a/b", "line\n"])
def test_invalid_stream_ids_are_rejected(stream_id: str):
    assert not valid_stream_id(stream_id)


@given(st.text())
def test_a_valid_stream_id_has_one_byte_per_character(stream_id: str):
    if valid_stream_id(stream_id):
        assert len(stream_id.encode()) == len(stream_id) <= 128


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, 1), (2, 1), (3, 2)])
def test_all_but_one_of_several_replicas_must_be_in_sync(replicas: int, in_sync: int):
    assert {s.required["min.insync.replicas"] for s in topic_specs(TOPICS, replicas)} == {in_sync}


def test_conforming_topics_have_no_differences():
    assert differences(TOPICS, conforming(TOPICS)) == []
    assert differences(TOPICS, conforming(TOPICS), partitions=4) == []


def test_a_missing_topic_is_reported():
    found = [topic for topic in conforming(TOPICS) if topic.name != TOPICS.partials]
    assert differences(TOPICS, found) == [
        "speech.partials.v1: missing; run `streamscribe topics create`"
    ]


def test_each_missing_topic_is_one_line():
    assert len(differences(TOPICS, [])) == 6


def test_a_differing_partition_count_is_reported():
    odd = [replace(t, partitions=8) if t.name == TOPICS.state else t for t in conforming(TOPICS)]
    (line,) = differences(TOPICS, odd)
    assert line.startswith("speech.state.v1: 8 partitions, not 4;")


def test_every_topic_is_compared_with_a_given_partition_count():
    assert len(differences(TOPICS, conforming(TOPICS), partitions=8)) == 6


@pytest.mark.parametrize("key", ["message.timestamp.type", "cleanup.policy", "compression.type"])
def test_a_wrong_setting_is_reported_with_the_command_that_fixes_it(key: str):
    (line,) = differences(TOPICS, with_setting(TOPICS.audio, key, "wrong"))
    assert line.startswith(f"speech.audio.v1: {key} is wrong, must be ")
    assert f"--entity-name speech.audio.v1 --add-config {key}=" in line


def test_required_numbers_are_lower_bounds():
    key = "max.message.bytes"
    assert differences(TOPICS, with_setting(TOPICS.audio_dlq, key, str(8 << 20))) == []
    (line,) = differences(TOPICS, with_setting(TOPICS.audio_dlq, key, "1048588"))
    assert "must be at least 4194304" in line


def test_a_setting_that_the_broker_does_not_report_is_a_difference():
    bare = [replace(topic, settings={}) for topic in conforming(TOPICS)]
    assert len(differences(TOPICS, bare)) == sum(len(s.required) for s in topic_specs(TOPICS, 3))
