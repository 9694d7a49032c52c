from __future__ import annotations

import pytest

from producer.arguments import parser, publish_options, stdin_format, topic
from producer.formats import AudioFormat
from schemas.audio import AudioCodec, StreamOptions, Task


def test_fast_selects_the_bulk_topic() -> None:
    assert topic(parser().parse_args(["a.wav"])) == "speech.audio.v1"
    assert topic(parser().parse_args(["a.wav", "--fast"])) == "speech.audio.bulk.v1"
    assert topic(parser().parse_args(["a.wav", "--fast", "--prefix", "eu"])) == "eu.audio.bulk.v1"
    assert topic(parser().parse_args(["a.wav", "--fast", "--topic", "mine"])) == "mine"
    assert publish_options(parser().parse_args(["a.wav"])).realtime
    assert not publish_options(parser().parse_args(["a.wav", "--fast"])).realtime


def test_without_flags_no_stream_option_is_set() -> None:
    assert publish_options(parser().parse_args(["a.wav"])).options == StreamOptions()


def test_flags_become_publish_options() -> None:
    line = "- --language zh-Hans,en --prompt 你好 --hotwords Kafka --task translate --words"
    options = parser().parse_args([*line.split(), "--codec", "opus", "--chunk-ms", "60"])
    expected = StreamOptions(("zh-Hans", "en"), "你好", "Kafka", Task.TRANSLATE, words=True)
    assert publish_options(options).options == expected
    assert publish_options(options).codec is AudioCodec.OPUS
    assert publish_options(options).chunk_ms == 60
    assert stdin_format(options) == AudioFormat(16_000, 1)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("linear16", AudioCodec.PCM_S16LE), ("PCMU", AudioCodec.PCM_MULAW)),
        *(("FLAC", AudioCodec.FLAC), ("ogg_opus", AudioCodec.OPUS)),
    ],
)
def test_a_codec_is_understood_by_the_names_that_records_may_have(
    name: str, codec: AudioCodec
) -> None:
    options = parser().parse_args(["a.wav", "--codec", name])
    assert publish_options(options).codec is codec


def test_defaults_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMSCRIBE_BOOTSTRAP", "one:9092,two:9092")
    monkeypatch.setenv("STREAMSCRIBE_PREFIX", "eu")
    options = parser().parse_args(["a.wav"])
    assert options.bootstrap == "one:9092,two:9092"
    assert topic(options) == "eu.audio.v1"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "required: FILE"),
        ("a.wav --stream call/1", "[A-Za-z0-9._:-]"),
        ("a.wav --codec g722", "pcm_s16le"),
        ("a.wav --codec L16", "big-endian"),
        ("a.wav --language klingon", "BCP 47"),
        ("a.wav --language auto,zh", "BCP 47"),
        (f"a.wav --prompt {'x' * 1001}", "1001 characters"),
        ("a.wav --task sing", "transcribe"),
        ("a.wav --chunk-ms 5000", "10 to 2000"),
        ("a.wav --chunk-ms fast", "10 to 2000"),
        ("- --rate 96000", "8000 to 48000"),
        ("- --channels 6", "1 to 2"),
        ("a.wav --realtime --fast", "not allowed"),
        ("a.wav --prefix no/slash", "no topic name"),
        ("a.wav --bootstrap http://broker:9092", "HOST:PORT"),
        ("a.wav --bootstrap broker:99999", "argument --bootstrap"),
        ("a.wav --bootstrap broker:kafka", "argument --bootstrap"),
        ("a.wav --bootstrap one,,two", "HOST:PORT"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error_with_the_reason(
    capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        parser().parse_args(line.split())
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
