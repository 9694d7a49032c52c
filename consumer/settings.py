"""The worker's settings, read from STREAMSCRIBE_<NAME>; all problems are reported together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from consumer.errors import ConfigError
from schemas.audio import MAX_ENDPOINT_MS, MAX_RATE, MIN_ENDPOINT_MS, MIN_RATE, AudioCodec
from schemas.languages import language_tags, unknown_language
from schemas.topics import Topics
from transport.bootstrap import parse_bootstrap
from transport.environment import read, setting, variable
from transport.security import Security, security_problems


class LogFormat(StrEnum):
    AUTO = "auto"  # console on a terminal, else json
    CONSOLE = "console"
    JSON = "json"


class Detector(StrEnum):
    CASCADE = "cascade"  # webrtcvad as a gate, silero on windows that pass it
    SILERO = "silero"
    WEBRTC = "webrtc"  # for machines too slow for silero


class ChineseScript(StrEnum):
    HANS = "Hans"  # Simplified
    HANT = "Hant"  # Traditional
    ANY = "any"  # as the model writes it


class FoldMode(StrEnum):
    AUTO = "auto"  # if the weights have a record of a passed check
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Security):
    """The worker's settings; `from_environment` reads and checks them."""

    bootstrap: str = setting("localhost:9092", "Kafka brokers, host:port, comma-separated")
    prefix: str = setting("speech", "prefix of all topic names")
    group: str = setting(
        "streamscribe", "consumer group: workers of one group share the partitions"
    )
    start_at: str = setting("earliest", "where a new group starts to read: earliest or latest")
    codec: AudioCodec = setting(AudioCodec.PCM_S16LE, "codec of records without that header")
    rate: int = setting(16_000, "sample rate of records without that header, Hz")
    channels: int = setting(1, "channels of records without that header")
    split_channels: bool = setting(
        default=False, help="transcribe each channel as a stream of its own: ID.0 and ID.1"
    )
    model: str = setting("", "Whisper weights by name or path; empty: turbo on CUDA, base on CPU")
    device: str = setting("auto", "auto, cuda or cpu")
    dtype: str = setting("auto", "auto, fp16, bf16, fp32 or int8")
    threads: int = setting(0, "CPU threads of the model; 0: all cores")
    fold: FoldMode = setting(
        FoldMode.AUTO,
        "fold the padding before the encoder: auto (if the weights passed the check), on or off",
    )
    fold_audit_share: float = setting(
        0.005, "share of utterances that are decoded padded too, while the model is idle"
    )
    language: str = setting(
        "zh", "language of streams that name none: BCP 47 tag, a list of tags, or auto"
    )
    script: ChineseScript = setting(
        ChineseScript.HANS, "script of Chinese where no language tag names one: Hans, Hant or any"
    )
    engine: str = setting(
        "", "socket of an engine process that has the model; empty: it is in this process"
    )
    ingest: int = setting(
        0, "start one engine process and this many workers on it; 0: one worker with the model"
    )
    words: bool = setting(default=True, help="word times in finals")
    partials: bool = setting(default=False, help="publish partials of streams without that header")
    partial_every_s: float = setting(0.7, "new audio between two partials of a stream, s")
    eager: bool = setting(
        default=True, help="decode an utterance at a likely end, before the end is certain"
    )
    publish_suppressed: bool = setting(
        default=False, help="publish the text of suppressed finals, in suppressed_text"
    )
    detector: Detector = setting(Detector.CASCADE, "cascade, silero or webrtc")
    endpoint_ms: int = setting(500, "silence that ends an utterance, ms")
    batch_rows: int = setting(0, "most utterances in a batch; 0: 16 on the CPU, 64 on CUDA")
    batch_positions: int = setting(
        0,
        "most encoder positions in a batch, rows x longest; 0: 8192 on the CPU, 32768 on CUDA; "
        "batches are at most as large as measured at warm-up",
    )
    final_within_s: float = setting(
        0.5, "deadline of live finals after their utterance; it orders the model's queue, s"
    )
    stall_s: float = setting(2.0, "an open utterance ends after this long without a record, s")
    stall_in_speech_s: float = setting(
        10.0, "likewise in the middle of speech or at a missing record, in numbered streams, s"
    )
    idle_s: float = setting(300.0, "a stream ends after this long without a record, s")
    max_streams: int = setting(
        20_000, "most streams of a partition; records of further streams are rejected"
    )
    new_streams_per_s: float = setting(
        100.0, "most new streams of a partition per second, over 100 s; others are rejected"
    )
    pause_above_s: float = setting(
        600.0, "stop fetching live audio while more speech waits for the model, s"
    )
    bulk_pause_above_s: float = setting(
        60.0, "stop fetching bulk audio while more speech waits for the model, s"
    )
    coalesce_s: float = setting(0.02, "finals within this time share a commit, s")
    progress_s: float = setting(5.0, "shortest interval of commits without finals, s")
    drain_s: float = setting(15.0, "time to finish after SIGTERM, s")
    engine_timeout_s: float = setting(
        60.0, "a batch that takes longer is taken for a hung device: the worker exits, s"
    )
    http_host: str = setting("127.0.0.1", "address of /livez /readyz /metrics")
    http_port: int = setting(8089, "port of /livez /readyz /metrics; 0: any free one")
    log_format: LogFormat = setting(LogFormat.AUTO, "auto, console or json")
    log_level: str = setting("info", "debug, info, warning or error")

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP 47 tags; empty: any language."""
        return language_tags(self.language)[0]


# Old name to present name. Unknown names are ignored, so an old one would have no effect silently.
RENAMED: Mapping[str, str] = {
    "hang_s": "engine_timeout_s",
    "shadow_share": "fold_audit_share",
    "tell_suppressed": "publish_suppressed",
}


def from_environment(environ: Mapping[str, str] = os.environ, **given: str) -> Settings:
    """Return the settings of the environment, overridden by those in `given` (both as text).

    Raises `ConfigError` with all problems. Unknown STREAMSCRIBE_ names are ignored, because other
    commands have variables of their own.
    """
    values, problems = read(Settings, environ, given)
    settings = Settings(**values)
    problems += [
        f"{variable(old)} is now {variable(new)}: set that instead"
        for old, new in RENAMED.items()
        if variable(old) in environ
    ]
    problems += [f"{variable(name)}: {problem}" for name, problem in _invalid(settings)]
    problems += security_problems(settings)
    if problems:
        raise ConfigError(problems)
    return settings


_POSITIVE = (
    "final_within_s",
    "partial_every_s",
    "stall_s",
    "stall_in_speech_s",
    "idle_s",
    "max_streams",
    "pause_above_s",
    "bulk_pause_above_s",
    "progress_s",
    "drain_s",
    "engine_timeout_s",
)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "start_at": ("earliest", "latest"),
    "device": ("auto", "cuda", "cpu"),
    "dtype": ("auto", "fp16", "bf16", "fp32", "int8"),
    "log_level": ("debug", "info", "warning", "error"),
}
_RANGES: Mapping[str, tuple[float, float]] = {
    "rate": (MIN_RATE, MAX_RATE),
    "channels": (1, 2),
    "endpoint_ms": (MIN_ENDPOINT_MS, MAX_ENDPOINT_MS),
    "http_port": (0, 65_535),
    "threads": (0, 1024),
    "ingest": (0, 256),
    "batch_rows": (0, 4096),
    "batch_positions": (0, 1_000_000),
    "coalesce_s": (0, 10),
    "fold_audit_share": (0, 1),
    "new_streams_per_s": (0.01, 1_000_000),
}


def _invalid(settings: Settings) -> list[tuple[str, str]]:
    """Return the name and problem of every invalid setting."""

    def value(name: str) -> Any:
        return getattr(settings, name)

    _, unknown = language_tags(settings.language)
    return [
        *((n, "must be above 0") for n in _POSITIVE if not value(n) > 0),
        *((n, f"must be {' or '.join(c)}") for n, c in _CHOICES.items() if value(n) not in c),
        *((n, f"must be {a} to {b}") for n, (a, b) in _RANGES.items() if not a <= value(n) <= b),
        *(("language", str(unknown_language(part))) for part in unknown),
        *(("bootstrap", problem) for problem in _bootstrap_problems(settings.bootstrap)),
        *(("prefix", problem) for problem in _prefix_problems(settings.prefix)),
        *((n, "must not be empty") for n in ("prefix", "group") if not value(n)),
        *((n, "must not contain |") for n in ("group",) if "|" in value(n)),
    ]


def _bootstrap_problems(bootstrap: str) -> list[str]:
    try:
        parse_bootstrap(bootstrap)
    except ValueError as error:
        return [str(error)]
    return []


def _prefix_problems(prefix: str) -> list[str]:
    try:
        Topics(prefix)
    except ValueError as error:
        return [str(error)]
    return []
