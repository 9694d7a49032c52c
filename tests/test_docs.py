"""The docs agree with the code: generated pages, both READMEs, commands, links and names."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from captions.formats import FORMATS
from consumer.metrics import Metrics
from schemas.audio import AudioCodec
from schemas.audio_headers import AUDIO_HEADERS
from schemas.codec import EVENT_TYPES
from schemas.codec_names import CODEC_ALIASES
from schemas.errors import Reason
from schemas.options import OPTION_HEADERS
from schemas.topics import Topics
from streamscribe.cli import COMMANDS

ROOT = Path(__file__).parent.parent
TRANSCRIPTS = ROOT / "docs/transcripts.md"
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PACKAGES = (
    *("admin", "bench", "captions", "consumer", "devstack", "evaluation", "offline", "producer"),
    *("schemas", "streamscribe", "subscriber", "transport", "weights"),
)
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
OF_EVENTS = {Reason.UNKNOWN_EVENT, Reason.BAD_EVENT}  # raised by readers, never in a dead letter


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", read(path), flags=re.DOTALL | re.MULTILINE)


def code_blocks(path: Path) -> list[str]:
    return re.findall(r"^```.*?^```", read(path), flags=re.DOTALL | re.MULTILINE)


def headings(path: Path) -> list[str]:
    return re.findall(r"^#+ .+$", prose(path), re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings, as Markdown renderers make them."""
    titles = [heading.lstrip("# ").lower() for heading in headings(path)]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def commands() -> list[str]:
    """Return every `streamscribe` command line in the pages."""
    shell = [block for page in PAGES for block in code_blocks(page) if block.startswith("```sh")]
    lines = [line for block in shell for line in block.splitlines()]
    return sorted(
        {m[0].strip(" &") for line in lines if (m := re.search(r"streamscribe .*", line))}
    )


@cache
def help_of(*command: str) -> str:
    run = [sys.executable, "-m", "streamscribe", *command, "--help"]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout


def has_subcommand(command: str, word: str) -> bool:
    return re.search(rf"^ +{re.escape(word)} ", help_of(command), re.MULTILINE) is not None


def test_generated_pages_are_up_to_date() -> None:
    run = [sys.executable, "docs/generate.py", "--check"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_metrics_page_lists_the_exposed_metrics() -> None:
    listed = set(re.findall(r"^\| `(\w+)`", read(ROOT / "docs/metrics.md"), re.MULTILINE))
    exposed = Metrics().registry.collect()
    assert listed == {m.name + "_total" * (m.type == "counter") for m in exposed}


def test_both_readmes_have_the_same_headings() -> None:
    english, chinese = ([h.split()[0] for h in headings(path)] for path in READMES)
    assert english == chinese


def test_both_readmes_have_the_same_code_blocks() -> None:
    english, chinese = map(code_blocks, READMES)
    assert english == chinese


def test_both_readmes_link_to_the_same_places() -> None:
    english, chinese = (sorted(re.findall(r"]\(([^)]+)\)", prose(path))) for path in READMES)
    assert [t for t in english if "README." not in t] == [t for t in chinese if "README." not in t]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_target_of_every_link_exists(path: Path) -> None:
    for target in re.findall(r"]\(([^)]+)\)", prose(path)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        place = path if not file else path.parent / file
        assert place.exists(), f"{path.name} links to {target}"
        assert not anchor or anchor in anchors(place), f"{path.name} links to {target}"


@pytest.mark.parametrize("line", commands())
def test_commands_in_the_pages_and_their_flags_exist(line: str) -> None:
    _, command, *arguments = shlex.split(line.partition("|")[0])
    assert command in COMMANDS
    deeper = [word for word in arguments[:1] if word.isalpha() and has_subcommand(command, word)]
    text = help_of(command, *deeper)
    for flag in re.findall(r"(?<= )--[\w-]+", line):
        assert flag in text


def test_make_targets_in_the_pages_exist() -> None:
    shown = {
        t for page in PAGES for t in re.findall(r"(?:^|`)make (\w+)", read(page), re.MULTILINE)
    }
    targets = set(re.findall(r"^(\w+):", read(ROOT / "Makefile"), re.MULTILINE))
    assert {"demo", "test"} <= shown
    assert not shown - targets


def test_the_wire_page_names_every_header_codec_event_topic_and_reason() -> None:
    words = set(re.findall(r"`([^`]+)`", prose(ROOT / "docs/wire.md")))
    known = {*AUDIO_HEADERS, *OPTION_HEADERS, *AudioCodec, *EVENT_TYPES, *Topics(), *Reason}
    assert not known - OF_EVENTS - words


def test_the_wire_page_names_every_codec_as_other_systems_do() -> None:
    words = set(re.findall(r"`([^`]+)`", prose(ROOT / "docs/wire.md").lower()))
    assert not CODEC_ALIASES.keys() - words


def test_the_transcripts_page_lists_every_format_and_its_file() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| `([\w.]+)` \|", read(TRANSCRIPTS), re.MULTILINE)
    assert rows == [(name, each.suffix) for name, each in FORMATS.items()]


def test_the_settings_page_lists_every_variable_in_the_code() -> None:
    page = read(ROOT / "docs/settings.md")
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    named = {n for path in sources for n in re.findall(r"STREAMSCRIBE_[A-Z_]*[A-Z]", read(path))}
    assert named
    assert {name for name in named if f"`{name}`" not in page} == set()


def defined_names() -> set[str]:
    """Return the names of all modules, classes, functions and variables of the packages."""
    names: set[str] = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        names.add(path.stem)
        for node in ast.walk(ast.parse(read(path))):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    names.add(name)
                case ast.AsyncFunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                    names.add(name)
    return names


def test_files_and_names_on_the_architecture_page_exist() -> None:
    page = ROOT / "docs/architecture.md"
    quoted = set(re.findall(r"`([^`\s]+)`", prose(page)))
    paths = {name for name in quoted if "/" in name or name.endswith(".py")}
    there = [f"/{place.relative_to(ROOT).as_posix()}" for place in ROOT.glob("[a-z]*/**/*")]
    for name in paths:
        ending = "/" + name.strip("/")
        assert (ROOT / name).exists() or any(place.endswith(ending) for place in there), name
    drawn = re.findall(r"\b[A-Z]\w*[a-z]\w*(?:\.\w+)?", "".join(code_blocks(page)))
    others = {"Kafka", "FLAC", "Ogg", "WAV"}
    named = {word for text in (*(quoted - paths), *drawn) for word in re.findall(r"\w+", text)}
    of_code = {word for word in named if "_" in word or re.match(r"[A-Z]\w*[a-z]", word)} - others
    assert len(of_code) > 40
    assert of_code - defined_names() == set()
