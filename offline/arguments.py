"""The command line of `streamscribe transcribe`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from captions.formats import FORMATS
from consumer.settings import Settings, from_environment
from producer.arguments import add_hints, channels, languages, rate
from producer.formats import AudioFormat
from schemas.audio import StreamOptions, Task
from transport.arguments import argument_type
from transport.environment import variable

EPILOG: Final = """\
Outputs lie beside the files or in the folder of --out, for standard input on standard output. Files
that are done are skipped, so a run that was interrupted is continued by the same command.

exit codes: 0 all files are done; 1 some are not, or are incomplete; 2 wrong usage; 130 stopped by
Ctrl-C"""

# The worker's settings that apply, too, by their variables; the others are about Kafka.
SETTINGS: Final = (
    *("model", "device", "dtype", "threads", "fold", "batch_rows", "batch_positions"),
    *("language", "script", "words", "detector", "endpoint_ms", "publish_suppressed"),
    *("engine_timeout_s", "log_format", "log_level"),
)
MODEL: Final = ("model", "device", "dtype", "threads")  # those that are flags, too
# Files are decoded once, when their utterances have ended, and never while the engine is idle.
_FIXED: Final = {"eager": "false", "fold_audit_share": "0", "log_level": "warning"}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe transcribe",
        description="Transcribe audio and video files, without Kafka.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="FILE",
        help="audio or video file, or a folder of them; -: standard input",
    )
    _add_outputs(parser)
    _add_speech(parser)
    _add_model(parser)
    return parser


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the outputs").add_argument
    add(
        "--format",
        type=formats,
        action="extend",
        metavar="NAME,...",
        help=f"{', '.join(FORMATS)}; may be repeated (default: txt)",
    )
    add("--out", type=Path, metavar="DIR", help="write there instead of beside the files")
    add("--overwrite", action="store_true", help="do what is done again, and replace other files")


def _add_speech(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the speech").add_argument
    add(
        "--language",
        type=languages,
        metavar="TAG",
        help="zh, en-US, a list of those, or auto (default: $STREAMSCRIBE_LANGUAGE, else auto)",
    )
    add_hints(add)
    add("--translate", action="store_true", help="into English")
    add("--rate", type=rate, metavar="HZ", help="standard input may be raw 16-bit PCM of this rate")
    add("--channels", type=channels, default=1, metavar="N", help="likewise (%(default)s)")


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the model", "As of the worker, by default from its settings")
    for name in MODEL:
        help_ = Settings.__dataclass_fields__[name].metadata["help"]
        group.add_argument(f"--{name}", metavar="X", help=help_)


@argument_type
def formats(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in FORMATS:
            raise ValueError(f"{name!r} is none of {', '.join(FORMATS)}")
    return names


def stream_options(options: argparse.Namespace) -> StreamOptions:
    return StreamOptions(
        languages=options.language,
        prompt=options.prompt,
        hotwords=options.hotwords,
        task=Task.TRANSLATE if options.translate else None,
    )


def stdin_format(options: argparse.Namespace) -> AudioFormat | None:
    """Return the format of raw PCM, or None: standard input must be a file."""
    return None if options.rate is None else AudioFormat(options.rate, options.channels)


def model_settings(options: argparse.Namespace) -> dict[str, str]:
    """Return the settings that were given as flags."""
    return {name: text for name in MODEL if (text := getattr(options, name)) is not None}


def settings(environ: Mapping[str, str], **given: str) -> Settings:
    """Return the worker's settings, as far as they concern files; any language by default.

    `given` overrides the environment. Raises `ConfigError` with all problems.
    """
    named = {variable(name) for name in SETTINGS}
    defaults = {variable("language"): "auto"} | {variable(n): t for n, t in _FIXED.items()}
    chosen = {name: text for name, text in environ.items() if name in named}
    return from_environment(defaults | chosen, **given)
