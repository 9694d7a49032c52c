"""Every name that operators or other programs depend on, in one list.

Dashboards, alerts, scripts and dead-letter readers use these names, so each change has to show in
a diff of `golden/public_names.txt`, which `python tests/test_public_names.py` writes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from consumer.core.audio.utterance import EndReason
from consumer.core.partition.commit import Outcome
from consumer.metrics import METRICS
from consumer.settings import Settings
from schemas.audio_headers import AUDIO_HEADERS
from schemas.codec import EVENT_TYPES
from schemas.errors import Reason
from schemas.options import OPTION_HEADERS
from schemas.topics import Topics
from schemas.transcript import QualityReason, StreamEndReason, Verdict
from streamscribe.cli import COMMANDS
from transport.environment import variable

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden" / "public_names.txt"
SERVICE = ("consumer", "transport")  # packages that log
LEVELS = {"debug", "info", "warning", "error", "exception"}


def names() -> list[str]:
    return [
        *(f"command {name}" for name in COMMANDS),
        *(f"dead letter header {name}" for name in sorted(dead_letter_headers())),
        *(f"dead letter header dlq.option.{name}" for name in sorted(OPTION_HEADERS)),
        *(f"end reason {reason}" for reason in EndReason),
        *(f"event type {name}" for name in sorted(EVENT_TYPES)),
        *(f"header {name}" for name in sorted({*AUDIO_HEADERS, *OPTION_HEADERS})),
        *sorted(f"log {event}: {', '.join(keys)}" for event, keys in log_events()),
        *(f"metric {m.name} {m.kind} {', '.join(m.labels)}".rstrip() for m in METRICS),
        *(f"outcome {outcome}" for outcome in Outcome),
        *(f"quality reason {reason}" for reason in QualityReason),
        *(f"reason {reason}" for reason in Reason),
        *(f"setting {variable(field.name)}" for field in fields(Settings)),
        *(f"stream end reason {reason}" for reason in StreamEndReason),
        *(f"topic {name}" for name in Topics()),
        *(f"verdict {verdict}" for verdict in Verdict),
    ]


def dead_letter_headers() -> set[str]:
    source = (ROOT / "consumer/kafka/dead_letters.py").read_text("utf-8")
    return set(re.findall(r'"(dlq\.\w+)"', source))


def log_events() -> Iterator[tuple[str, list[str]]]:
    """Yield each event that the service logs, with the keys of the call."""
    for package in SERVICE:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if is_log_call(node) and isinstance(node.args[0], ast.Constant):
                    yield str(node.args[0].value), [k.arg or "**" for k in node.keywords]


def is_log_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "log"
        and node.func.attr in LEVELS
    )


def test_public_names_equal_the_golden_list() -> None:
    assert "\n".join(names()) + "\n" == GOLDEN.read_text("utf-8")


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(names()) + "\n", "utf-8")
