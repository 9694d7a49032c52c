"""The command line of `streamscribe publish`."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from typing import Final

from producer.formats import AudioFormat
from producer.stream import PublishOptions
from schemas.audio import (
    MAX_CHANNELS,
    MAX_LANGUAGES,
    MAX_RATE,
    MIN_RATE,
    AudioCodec,
    StreamOptions,
    Task,
)
from schemas.codec_names import parse_codec
from schemas.languages import language_tags, unknown_language
from schemas.options import decode_options, encode_options
from schemas.topics import MAX_STREAM_ID_CHARACTERS, Topics, valid_stream_id
from transport.arguments import add_kafka, argument_type

_RUN_BYTES: Final = 4
STDIN: Final = "-"
MIN_CHUNK_MS, MAX_CHUNK_MS = 10, 2_000  # 2 s of 48 kHz stereo floats still fit into a record
EPILOG: Final = (
    "Each input becomes a stream; all are published concurrently. "
    "Rates of 8-48 kHz and up to two channels are kept, other formats are converted."
)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe publish", description="Publish audio files to Kafka.", epilog=EPILOG
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="FILE",
        help=f"audio or video file, or a pipe; {STDIN}: standard input, raw 16-bit PCM or a file",
    )
    _add_stream(parser)
    _add_pace(parser)
    _add_kafka(parser)
    return parser


def _add_stream(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the streams").add_argument
    add(
        "--stream",
        type=stream,
        metavar="ID",
        help="stream id; for several inputs ID-<file name> (default: <file name>-<random>)",
    )
    add("--codec", type=codec, choices=list(AudioCodec), default=AudioCodec.PCM_S16LE)
    add("--language", type=languages, metavar="TAG", help="zh, en-US, a list of those, or auto")
    add_hints(add)
    add("--task", type=Task, choices=list(Task), help="translate: into English")
    add("--words", action="store_true", default=None, help="request word times")
    add("--rate", type=rate, default=16_000, metavar="HZ", help="of raw PCM (%(default)s)")
    add("--channels", type=channels, default=1, metavar="N", help="likewise (%(default)s)")


def add_hints(add: Callable[..., argparse.Action]) -> None:
    """Add the flags of what may be spoken; `add`: `add_argument` of a parser or of a group."""
    add("--prompt", type=prompt, metavar="TEXT", help="text assumed to precede the speech")
    add("--hotwords", type=prompt, metavar="TEXT", help="words to expect")


def _add_pace(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the pace")
    pace = group.add_mutually_exclusive_group()
    pace.add_argument(
        "--realtime",
        action="store_true",
        default=True,
        help="at the pace of speech (the default)",
    )
    pace.add_argument(
        "--fast",
        dest="realtime",
        action="store_false",
        help="as fast as Kafka accepts it, to the bulk topic, which is served after live audio",
    )
    group.add_argument(
        "--chunk-ms",
        type=chunk_ms,
        default=100,
        metavar="MS",
        help=f"audio per record: {MIN_CHUNK_MS}-{MAX_CHUNK_MS} ms (%(default)s)",
    )


def _add_kafka(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Kafka")
    add_kafka(group)
    group.add_argument(
        "--topic", metavar="NAME", help="instead of PREFIX.audio.v1 or PREFIX.audio.bulk.v1"
    )


def publish_options(options: argparse.Namespace) -> PublishOptions:
    stream_options = StreamOptions(
        languages=options.language,
        prompt=options.prompt,
        hotwords=options.hotwords,
        task=options.task,
        words=options.words,
    )
    run = secrets.token_hex(_RUN_BYTES)
    return PublishOptions(options.codec, options.chunk_ms, options.realtime, stream_options, run)


def topic(options: argparse.Namespace) -> str:
    topics: Topics = options.topics
    return options.topic or (topics.audio if options.realtime else topics.audio_bulk)


def stdin_format(options: argparse.Namespace) -> AudioFormat:
    return AudioFormat(options.rate, options.channels)


def number(text: str, least: int, most: int) -> int:
    if text.isascii() and text.isdigit() and least <= int(text[:9]) <= most:
        return int(text)
    raise ValueError(f"{text!r} is no number from {least} to {most}")


@argument_type
def codec(text: str) -> AudioCodec:
    return parse_codec(text)


@argument_type
def rate(text: str) -> int:
    return number(text, MIN_RATE, MAX_RATE)


@argument_type
def channels(text: str) -> int:
    return number(text, 1, MAX_CHANNELS)


@argument_type
def chunk_ms(text: str) -> int:
    return number(text, MIN_CHUNK_MS, MAX_CHUNK_MS)


@argument_type
def stream(text: str) -> str:
    if not valid_stream_id(text):
        raise ValueError(f"{text!r} is not 1-{MAX_STREAM_ID_CHARACTERS} of [A-Za-z0-9._:-]")
    return text


@argument_type
def languages(text: str) -> tuple[str, ...]:
    tags, unknown = language_tags(text)
    if unknown:
        raise unknown_language(unknown[0])
    if len(tags) > MAX_LANGUAGES:
        raise ValueError(f"{len(tags)} languages: at most {MAX_LANGUAGES} are allowed")
    return tags


@argument_type
def prompt(text: str) -> str:
    _, problems = decode_options(dict(encode_options(StreamOptions(prompt=text))))
    if problems:
        raise ValueError(problems[0])
    return text
