"""Write what is made from the code, pages and contract: `python docs/generate.py`, `make docs`.

With `--check` it writes nothing and exits 1 when a page is out of date.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import contract

from consumer.metrics import METRICS, Spec
from consumer.settings import Settings
from streamscribe.cli import COMMANDS
from transport.environment import PREFIX, variable
from transport.security import Security

DOCS: Final = Path(__file__).parent
MADE: Final = "<!-- Made by docs/generate.py from {source}: change that, then run `make docs`. -->"
# argparse itself reads COLUMNS.
PLAIN: Final = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
SUBCOMMANDS: Final = {
    "dlq": ("ls", "show"),
    "topics": ("create", "check"),
    "weights": ("fetch", "list"),
}


def page(title: str, source: str, parts: Iterable[str]) -> str:
    return "\n\n".join((f"# {title}", MADE.format(source=source), *parts)) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def metrics() -> str:
    rows = [(code(exported(s)), s.kind, ", ".join(map(code, s.labels)), s.help) for s in METRICS]
    intro = "Served at `/metrics` for Prometheus. No label is made of what a publisher sent."
    head = ("Metric", "Kind", "Labels", "Meaning")
    return page("Metrics", "consumer/metrics.py", (intro, table(head, rows)))


def exported(spec: Spec) -> str:
    return f"streamscribe_{spec.name}" + ("_total" if spec.kind == "counter" else "")


SETTINGS_INTRO: Final = """\
The worker takes each setting from its flag, else from the environment, checks all of them once and
reports all problems before it connects. `STREAMSCRIBE_HTTP_PORT` is `--http-port` as a flag.
The other commands read the first two, and those of Kafka's security further below."""
MACHINE_INTRO: Final = "Read by every command that keeps or looks for files:"
MACHINE: Final = (
    ("STREAMSCRIBE_HOME", "where Kafka and weights are kept; default: `streamscribe` in the cache"),
    ("STREAMSCRIBE_WEIGHTS_PATH", "folders to look for weights in first, with `:` between"),
)


SECURITY_INTRO: Final = """\
Kafka's security, read by every command; [what goes together](security.md). Secrets stand in files,
which are read again when they change."""


def settings() -> str:
    shared = {field.name for field in dataclasses.fields(Security)}
    rows = {
        field.name: (code(variable(field.name)), shown(field.default), field.metadata["help"])
        for field in dataclasses.fields(Settings)
    }
    head = ("Variable", "Default", "Meaning")
    worker = table(head, [row for name, row in rows.items() if name not in shared])
    security = table(head, [row for name, row in rows.items() if name in shared])
    machine = table(
        ("Variable", "Meaning"), [(code(name), description) for name, description in MACHINE]
    )
    parts = (SETTINGS_INTRO, worker, SECURITY_INTRO, security, MACHINE_INTRO, machine)
    return page("Settings", "consumer/settings.py", parts)


def shown(default: object) -> str:
    return code(str(default).lower() if isinstance(default, bool) else str(default))


def commands() -> str:
    intro = "What `streamscribe COMMAND --help` prints."
    lines = [line for name in COMMANDS for line in ((name,), *deeper(name))]
    parts = (f"## streamscribe {' '.join(line)}\n\n{block(line)}" for line in lines)
    return page("Commands", "each command's own help", (intro, block(()), *parts))


def deeper(name: str) -> list[tuple[str, ...]]:
    return [(name, word) for word in SUBCOMMANDS.get(name, ())]


def block(command: Sequence[str]) -> str:
    """Return the output of `--help`, independent of the environment."""
    printed = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", "streamscribe", *command, "--help"],
        check=True,
        capture_output=True,
        encoding="utf-8",
        env={n: v for n, v in os.environ.items() if not n.startswith(PREFIX)} | PLAIN,
    ).stdout
    return f"```\n{printed.strip()}\n```"


PAGES: Final[dict[str, Callable[[], str]]] = {
    "cli.md": commands,
    "metrics.md": metrics,
    "settings.md": settings,
}


@cache
def made() -> dict[str, str]:
    """Return the text that each generated file must hold, by file."""
    pages = {name: write() for name, write in PAGES.items()}
    return pages | {f"contract/{name}": text for name, text in contract.files().items()}


def stale(name: str) -> bool:
    path = DOCS / name
    return not path.exists() or path.read_text(encoding="utf-8") != made()[name]


def main(arguments: Sequence[str]) -> int:
    changed = [name for name in made() if stale(name)]
    if "--check" in arguments:
        for name in changed:
            sys.stderr.write(f"docs/{name} differs from the code: run `make docs`\n")
        return 1 if changed else 0
    for name in changed:
        (DOCS / name).write_text(made()[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
