"""What `streamscribe tail` shows, at three widths, with colours and without, in two languages.

`PYTHONPATH=tests/support python tests/subscriber/test_snapshots.py` writes the files in `golden/`.
"""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path

import pytest
from rich.console import Console
from tail_events import conversation
from terminal import Terminal

from subscriber.captions import Captions
from subscriber.live_captions import CaptionsByStream, InterleavedCaptions, LiveRegion

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (60, 80, 120)
LANGUAGES = ("en", "zh")
CASES = [*product(("interleaved", "by-stream"), LANGUAGES, ("colour", "plain"))]


def region(layout: str, console: Console) -> LiveRegion:
    if layout == "by-stream":
        return CaptionsByStream(console, lambda: 0.0)
    return InterleavedCaptions(console, Captions(console), lambda: 0.0)


def screens(layout: str, language: str, width: int, *, colour: bool) -> list[list[str]]:
    """Return the lines of the screen while both streams speak, and at the end."""
    terminal = Terminal(width, colour=colour)
    found = []
    with region(layout, terminal.console) as live:
        for events in conversation(language):
            for event in events:
                live.show(event)
            found.append(terminal.lines(styled=colour))
    return [*found[:1], terminal.lines(styled=colour)]


def snapshot(layout: str, language: str, style: str) -> str:
    parts = []
    for width in WIDTHS:
        shown = screens(layout, language, width, colour=style == "colour")
        for title, lines in zip(("while both speak", "at the end"), shown, strict=True):
            parts += [f"== {width} columns, {title}", *lines]
    return "\n".join(parts) + "\n"


def piped(language: str) -> str:
    out = io.StringIO()
    captions = Captions(Console(file=out, width=60))
    for event in [event for events in conversation(language) for event in events]:
        if not event.TYPE.endswith(("partial", "started")):
            captions.show(event)
    return out.getvalue()


def snapshots() -> dict[str, str]:
    """Return the content of every golden file."""
    live = {"-".join(case): snapshot(*case) for case in CASES}
    return live | {f"piped-{language}": piped(language) for language in LANGUAGES}


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_screen_is_that_of_the_golden_file(case: tuple[str, str, str]):
    assert snapshot(*case) == (GOLDEN / f"{'-'.join(case)}.txt").read_text("utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pipe_gets_the_lines_of_the_golden_file(language: str):
    assert piped(language) == (GOLDEN / f"piped-{language}.txt").read_text("utf-8")


def test_no_golden_file_is_left_over():
    assert {path.stem for path in GOLDEN.iterdir()} == snapshots().keys()


if __name__ == "__main__":
    for name, content in snapshots().items():
        (GOLDEN / f"{name}.txt").write_text(content, "utf-8")
