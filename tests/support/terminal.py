"""A terminal of a given size, which shows what a program has written to it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import groupby

import pyte
from rich.console import Console


class Terminal(io.StringIO):
    """A file for `rich.console.Console` whose content is what is on the screen."""

    def __init__(self, width: int, height: int = 24, *, colour: bool = False) -> None:
        super().__init__()
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.Stream(self._screen)
        self.console = Console(
            file=self,
            width=width,
            height=height,
            force_terminal=True,
            color_system="standard" if colour else None,
            no_color=not colour,
            highlight=False,
        )

    def feed(self, written: str) -> None:
        """Show what a program writes; line ends are those of a terminal."""
        self._stream.feed(written.replace("\r\n", "\n").replace("\n", "\r\n"))

    def lines(self, *, styled: bool = False) -> list[str]:
        """Return the screen's lines without the empty ones at its end.

        `styled`: with colours as `<yellow>text</yellow>`, slanted text as `<i>`.
        """
        self.feed(self.getvalue())
        self.seek(0)
        self.truncate()
        rows = range(self._screen.lines)
        lines = ["".join(self._parts(row, styled=styled)).rstrip() for row in rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _parts(self, row: int, *, styled: bool) -> Iterator[str]:
        cells = [self._screen.buffer[row][column] for column in range(self._screen.columns)]
        for (colour, is_slanted), run in groupby(cells, key=lambda cell: (cell.fg, cell.italics)):
            text = "".join(cell.data for cell in run)
            names = [*(["i"] if is_slanted else []), *([colour] if colour != "default" else [])]
            for name in names if styled else ():
                text = f"<{name}>{text}</{name}>"
            yield text
