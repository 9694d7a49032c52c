from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from consumer.errors import ConfigError
from consumer.settings import (
    RENAMED,
    ChineseScript,
    Detector,
    FoldMode,
    LogFormat,
    Settings,
    from_environment,
)
from schemas.audio import AudioCodec
from schemas.languages import whisper_code
from transport.security import SaslMechanism, SecurityProtocol

# For every setting a text and its value, which is not the default.
TEXTS: dict[str, tuple[str, Any]] = {
    "security_protocol": ("SASL_SSL", SecurityProtocol.SASL_SSL),
    "tls_ca_file": ("ca.pem", "ca.pem"),
    "tls_cert_file": ("worker.pem", "worker.pem"),
    "tls_key_file": ("worker.key", "worker.key"),
    "tls_key_password_file": ("key.password", "key.password"),
    "sasl_mechanism": ("PLAIN", SaslMechanism.PLAIN),
    "sasl_username": ("worker", "worker"),
    "sasl_password_file": ("password", "password"),
    "sasl_token_file": ("token", "token"),
    "sasl_without_tls": ("true", True),
    "bootstrap": ("kafka-1:9092,kafka-2:9092", "kafka-1:9092,kafka-2:9092"),
    "prefix": ("calls", "calls"),
    "engine": ("/run/engine.sock", "/run/engine.sock"),
    "ingest": ("4", 4),
    "group": ("night", "night"),
    "start_at": ("latest", "latest"),
    "codec": ("flac", AudioCodec.FLAC),
    "rate": ("8000", 8_000),
    "channels": ("2", 2),
    "split_channels": ("on", True),
    "model": ("large-v3", "large-v3"),
    "device": ("cpu", "cpu"),
    "dtype": ("bf16", "bf16"),
    "threads": ("2", 2),
    "fold": ("off", FoldMode.OFF),
    "fold_audit_share": ("0.01", 0.01),
    "language": ("zh-Hant,en", "zh-Hant,en"),
    "words": ("off", False),
    "script": ("Hant", ChineseScript.HANT),
    "detector": ("webrtc", Detector.WEBRTC),
    "endpoint_ms": ("800", 800),
    "batch_rows": ("8", 8),
    "batch_positions": ("1024", 1024),
    "final_within_s": ("0.25", 0.25),
    "stall_s": ("3", 3.0),
    "stall_in_speech_s": ("4", 4.0),
    "idle_s": ("60.5", 60.5),
    "max_streams": ("500", 500),
    "new_streams_per_s": ("2.5", 2.5),
    "pause_above_s": ("100", 100.0),
    "bulk_pause_above_s": ("20", 20.0),
    "coalesce_s": ("0", 0.0),
    "progress_s": ("1", 1.0),
    "drain_s": ("30", 30.0),
    "engine_timeout_s": ("10", 10.0),
    "http_host": ("0.0.0.0", "0.0.0.0"),
    "http_port": ("0", 0),
    "partials": ("true", True),
    "partial_every_s": ("1.5", 1.5),
    "eager": ("off", False),
    "publish_suppressed": ("yes", True),
    "log_format": ("json", LogFormat.JSON),
    "log_level": ("debug", "debug"),
}
ENVIRON = {f"STREAMSCRIBE_{name.upper()}": text for name, (text, _) in TEXTS.items()}


def problems(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        from_environment({f"STREAMSCRIBE_{name.upper()}": text for name, text in environ.items()})
    return raised.value.problems


def test_the_defaults_are_valid():
    assert from_environment({}) == Settings()


def test_the_examples_cover_every_setting():
    assert TEXTS.keys() == {field.name for field in fields(Settings)}


def test_every_setting_can_be_set_as_text():
    made = from_environment(ENVIRON)
    for name, (_, value) in TEXTS.items():
        assert getattr(made, name) == value != getattr(Settings(), name), name


def test_flags_override_the_environment():
    made = from_environment({"STREAMSCRIBE_GROUP": "night"}, group="day")
    assert made.group == "day"


def test_variables_of_other_commands_are_ignored():
    assert from_environment({"STREAMSCRIBE_CACHE": "/tmp", "HOME": "/"}) == Settings()


def test_space_around_a_value_is_stripped():
    assert from_environment({"STREAMSCRIBE_RATE": " 8000 "}).rate == 8_000


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("auto", ()),
        ("zh", ("zh",)),
        ("zh-Hans, en", ("zh-Hans", "en")),
        ("en_US,Chinese", ("en-US", "zh")),
    ],
)
def test_a_language_setting_is_a_list_of_tags(text: str, tags: tuple[str, ...]):
    found = from_environment({"STREAMSCRIBE_LANGUAGE": text}).languages
    assert found == tags
    assert all(map(whisper_code, found))


@pytest.mark.parametrize(
    "brokers", ["kafka", "kafka:9092, other:9093", "[::1]:9092", "10.0.0.1:9092"]
)
def test_brokers_are_hosts_with_or_without_ports(brokers: str):
    assert from_environment({"STREAMSCRIBE_BOOTSTRAP": brokers}).bootstrap == brokers


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("no", False), ("0", False)]
)
def test_booleans_have_several_spellings(text: str, value: bool):
    assert from_environment({"STREAMSCRIBE_WORDS": text}).words is value


def test_all_problems_are_reported_together():
    found = problems(rate="fast", channels="3", codec="g722", words="maybe", drain_s="0")
    assert len(found) == 5
    for name in ("RATE", "CHANNELS", "CODEC", "WORDS", "DRAIN_S"):
        assert sum(line.startswith(f"STREAMSCRIBE_{name}") for line in found) == 1


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("rate", "16 kHz", "whole number"),
        ("rate", "16000.5", "whole number"),
        ("rate", "7999", "8000 to 48000"),
        ("idle_s", "soon", "number"),
        ("idle_s", "nan", "number"),
        ("engine_timeout_s", "-1", "above 0"),
        ("coalesce_s", "-0.1", "0 to 10"),
        ("drain_s", "inf", "number"),
        ("codec", "g722", "pcm_s16le, pcm_f32le"),
        ("words", "maybe", "true or false"),
        ("start_at", "yesterday", "earliest or latest"),
        ("device", "tpu", "auto or cuda or cpu"),
        ("log_level", "loud", "debug or info"),
        ("endpoint_ms", "100", "200 to 2000"),
        ("http_port", "65536", "0 to 65535"),
        ("bootstrap", "", "HOST:PORT"),
        ("bootstrap", "kafka:port", "HOST:PORT"),
        ("group", " ", "empty"),
        ("language", "klingon", "klingon"),
        ("language", "zh,,en", "''"),
        ("prefix", "a b", "A-Za-z0-9"),
    ],
)
def test_a_problem_names_the_variable_and_its_valid_values(name: str, text: str, advice: str):
    (problem,) = problems(**{name: text})
    assert problem.startswith(f"STREAMSCRIBE_{name.upper()}")
    assert advice in problem


def test_settings_are_immutable():
    with pytest.raises(FrozenInstanceError):
        Settings().rate = 8_000  # type: ignore[misc]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_rejected_with_the_new_name(old: str, new: str):
    with pytest.raises(ConfigError) as rejected:
        from_environment({f"STREAMSCRIBE_{old.upper()}": "1"})
    assert rejected.value.problems == (
        f"STREAMSCRIBE_{old.upper()} is now STREAMSCRIBE_{new.upper()}: set that instead",
    )
    assert new in {field.name for field in fields(Settings)}
