"""The words of docs/glossary.md, and no others for the same things: retired names do not return.

RETIRED_NAMES may not be defined (classes, functions, modules). RETIRED_WORDS may not occur in
comments, strings (docstrings, messages, log events), names of functions, and docs.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_PACKAGES = (
    "admin bench captions consumer devstack evaluation producer schemas streamscribe subscriber"
    " transport weights tests docs"
)
PACKAGES = _PACKAGES.split()

_RETIRED = (
    # runner, pipeline, metrics
    "Keeper Surroundings Bell Pace Owner overtaken give_away assigned_again tell_partials"
    " tell_offsets tell_held put_back beat keeper runtime"
    # records, detection
    " Unread Sound Move Order Ear Listen hear listen Scorer Span Frames Webrtc Gate Windows"
    # utterances, ledger, limits
    " Heard Draft Drafts DraftPolicy Turns Told Settled Suspects TRIES tries Decoded JobId Held"
    " Identified Ticket settle bury urge Door turn_away let_in StreamCaps Admission look"
    # text
    " guard doubt Doubt Evidence unspoken wordless Judged judge ladder left is_trusted"
    # scheduling, inference
    " Clip withdraw Timing Shadow Check Listener Memory Replays AsTheyAre Queue Wish think"
    # codecs, process, Kafka
    " decoders isolation IsolatedDecoder decoder_process scripts leash hush_orphans translated"
    " readable stand_in whole Missing Standing survey knob shows_secret denial Trouble AccessError"
    # clients
    " Manner Cut Stage Item Way Unit"
    # bench and tests
    " recital Script arena stage Slot Book programme Played Look contestants Seat Trial naive Mood"
    " Mistake mischief said_and_seen leashes one_stream read_along planted_parsers one_worker"
)
RETIRED_NAMES = frozenset(_RETIRED.split())
# Names that are in use for what they are the standard term of.
KEPT_NAMES = {
    "Timing": "the title of a JSON Schema",
    "Cut": "the cut of the segmenter, as in the glossary",
    "Unit": "the smallest part of a text that agreement compares, as in the glossary",
    "Script": "a script of Chinese, traditional or simplified",
    "settle": "ends an utterance, as its state SETTLED",
    "Check": "a target of a bench and the value that was measured",
}

RETIRED_WORDS = (
    r"told|tells?|telling|heard|hears?|says?|saying|said|nobody|somebody|whoever|mend(?:s|ed)?"
    r"|hush(?:ed)?|bury|buried|urged?|leash(?:es)?|recitals?|arenas?|knobs?|turned[ _]away"
    r"|reads?[ _]along|stands"
)
# Where such a word is the right one: quotations, transcripts of speech, and set phrases.
EXCEPTIONS = re.compile(
    r"stands for|what is said|no_speech_heard|tell_suppressed|TELL_SUPPRESSED",
)
PROSE = re.compile(rf"(?<![A-Za-z])(?:{RETIRED_WORDS})(?![A-Za-z])", re.IGNORECASE)
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "samples").rglob("*.md"),
    ]
    if path.name != "CODE_OF_CONDUCT.md"
)
SOURCES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path != Path(__file__)
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def definitions(tree: ast.AST) -> Iterator[str]:
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return (node.name for node in ast.walk(tree) if isinstance(node, kinds))


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments, strings and defined names of a module, with their lines."""
    previous = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_text = token.type in {tokenize.COMMENT, tokenize.STRING}
        if is_text or previous in {"def", "class"}:
            yield token.start[0], token.string
        previous = token.string


def retired_words(text: str) -> list[str]:
    return PROSE.findall(EXCEPTIONS.sub("", text))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_retired_name_is_defined(package: str) -> None:
    retired = RETIRED_NAMES - KEPT_NAMES.keys()
    found = [
        f"{name_of(path)}: {name}"
        for path in SOURCES
        if path.is_relative_to(ROOT / package)
        for name in (path.stem, *definitions(ast.parse(path.read_text("utf-8"))))
        if name in retired
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_retired_word_is_in_comments_strings_and_names(package: str) -> None:
    found = [
        f"{name_of(path)}:{line}: {', '.join(words)}"
        for path in SOURCES
        if path.is_relative_to(ROOT / package)
        for line, text in prose(path.read_text("utf-8"))
        if (words := retired_words(text))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_retired_word_is_in_a_page(page: Path) -> None:
    lines = enumerate(page.read_text("utf-8").splitlines(), 1)
    found = [
        f"{number}: {', '.join(words)}" for number, line in lines if (words := retired_words(line))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_docstring_begins_with_of(package: str) -> None:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    found = [
        f"{name_of(path)}: {doc.splitlines()[0]}"
        for path in SOURCES
        if path.is_relative_to(ROOT / package)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, kinds) and (doc := ast.get_docstring(node) or "").startswith("Of ")
    ]
    assert not found, "\n".join(found)


def test_every_kept_name_is_a_retired_one_that_is_in_use() -> None:
    used = {name for path in SOURCES for name in definitions(ast.parse(path.read_text("utf-8")))}
    assert KEPT_NAMES.keys() <= RETIRED_NAMES & used
