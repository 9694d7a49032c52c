from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import TopicFound, Topics, differences, topic_specs, valid_stream_id

TOPICS = Topics()


def as_required(topics: Topics, *, partitions: int = 4, replicas: int = 3) -> list[TopicFound]:
    return [
        TopicFound(
            name=spec.name,
            partitions=partitions,
            replication_factor=replicas,
            settings={key: str(value) for key, value in spec.required.items()},
        )
        for spec in topic_specs(topics, replicas)
    ]


def spoilt(name: str, key: str, value: str) -> list[TopicFound]:
    return [
        replace(topic, settings={**topic.settings, key: value}) if topic.name == name else topic
        for topic in as_required(TOPICS)
    ]


def test_names_follow_from_the_prefix():
    assert list(Topics("calls")) == [
        "calls.audio.v1",
        "calls.audio.bulk.v1",
        "calls.transcripts.v1",
        "calls.partials.v1",
        "calls.audio.dlq.v1",
        "calls.state.v1",
    ]


def test_each_name_can_be_given():
    topics = Topics("calls", audio="telephony.pcm")
    assert (topics.audio, topics.audio_bulk) == ("telephony.pcm", "calls.audio.bulk.v1")


@pytest.mark.parametrize("name", ["with space", "ü", "a" * 250, "."])
def test_a_name_that_kafka_would_refuse_is_refused(name: str):
    with pytest.raises(ValueError, match="no topic name"):
        Topics(audio=name)


def test_two_topics_cannot_share_a_name():
    with pytest.raises(ValueError, match="must differ"):
        Topics(transcripts="speech.partials.v1")


@pytest.mark.parametrize("stream_id", ["a", "call:2024-05-01.7_b", "x" * 128])
def test_stream_ids_that_are_valid(stream_id: str):
    assert valid_stream_id(stream_id)


@pytest.mark.parametrize("stream_id", ["", "x" * 129, "two words", "naïve", "a/b", "line\n"])
def test_stream_ids_that_are_not(stream_id: str):
    assert not valid_stream_id(stream_id)


@given(st.text())
def test_a_valid_stream_id_is_as_long_in_bytes_as_in_characters(stream_id: str):
    if valid_stream_id(stream_id):
        assert len(stream_id.encode()) == len(stream_id) <= 128


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, 1), (2, 1), (3, 2)])
def test_one_replica_may_be_lost_where_there_are_several(replicas: int, in_sync: int):
    assert {s.required["min.insync.replicas"] for s in topic_specs(TOPICS, replicas)} == {in_sync}


def test_what_is_as_required_has_no_differences():
    assert differences(TOPICS, as_required(TOPICS)) == []
    assert differences(TOPICS, as_required(TOPICS), partitions=4) == []


def test_a_missing_topic_is_named():
    found = [topic for topic in as_required(TOPICS) if topic.name != TOPICS.partials]
    assert differences(TOPICS, found) == [
        "speech.partials.v1: missing; run `streamscribe topics create`"
    ]


def test_all_topics_missing_is_a_line_each():
    assert len(differences(TOPICS, [])) == 6


def test_a_partition_count_that_differs_is_named():
    odd = [replace(t, partitions=8) if t.name == TOPICS.state else t for t in as_required(TOPICS)]
    (line,) = differences(TOPICS, odd)
    assert line.startswith("speech.state.v1: 8 partitions, not 4;")


def test_a_partition_count_that_was_asked_for_is_held_against_every_topic():
    assert len(differences(TOPICS, as_required(TOPICS), partitions=8)) == 6


@pytest.mark.parametrize("key", ["message.timestamp.type", "cleanup.policy", "compression.type"])
def test_a_wrong_setting_is_named_with_its_remedy(key: str):
    (line,) = differences(TOPICS, spoilt(TOPICS.audio, key, "wrong"))
    assert line.startswith(f"speech.audio.v1: {key} is wrong, must be ")
    assert f"--entity-name speech.audio.v1 --add-config {key}=" in line


def test_numbers_are_lower_bounds():
    key = "max.message.bytes"
    assert differences(TOPICS, spoilt(TOPICS.audio_dlq, key, str(8 << 20))) == []
    (line,) = differences(TOPICS, spoilt(TOPICS.audio_dlq, key, "1048588"))
    assert "must be at least 4194304" in line


def test_a_setting_that_the_broker_did_not_tell_is_a_difference():
    bare = [replace(topic, settings={}) for topic in as_required(TOPICS)]
    assert len(differences(TOPICS, bare)) == sum(len(s.required) for s in topic_specs(TOPICS, 3))
