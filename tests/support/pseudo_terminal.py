"""A program on a pseudo-terminal, and the screen that it has drawn."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from terminal import Terminal

WIDTH, HEIGHT = 80, 24
_AGAIN_S = 0.5


class Screen:
    """What a program has written to its terminal."""

    def __init__(self, descriptor: int, *, colour: bool) -> None:
        self.written = b""  # all of it, as it came
        self._descriptor, self._colour = descriptor, colour
        self._terminal = Terminal(WIDTH, HEIGHT)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    @property
    def lines(self) -> list[str]:
        return self._terminal.lines(styled=self._colour)

    async def until(self, is_shown: Callable[[list[str]], bool]) -> list[str]:
        """Wait for a screen that fulfils the condition and return its lines."""
        while not is_shown(self.lines):
            self._news.clear()
            await self._news.wait()
        return self.lines

    async def repeat_until(
        self, act: Callable[[], Awaitable[None]], is_shown: Callable[[list[str]], bool]
    ) -> None:
        """Act again and again, because a program may not see what was before its start."""
        while True:
            await act()
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):
                    await self.until(is_shown)
                    return

    def _read(self) -> None:
        try:
            news = os.read(self._descriptor, 65_536)
        except OSError:  # the program has ended
            asyncio.get_running_loop().remove_reader(self._descriptor)
        else:
            self.written += news
            self._terminal.feed(self._decoder.decode(news))
        self._news.set()


@asynccontextmanager
async def on_terminal(*argv: str, colour: bool = True) -> AsyncIterator[Screen]:
    """Run `streamscribe` with these arguments on a terminal of 80 columns; end it at the end."""
    ours, its = os.openpty()
    termios.tcsetwinsize(its, (HEIGHT, WIDTH))
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"TERM": "xterm"} | ({} if colour else {"NO_COLOR": "1"})
    command = (sys.executable, "-m", "streamscribe", *argv)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=its, stdout=its, stderr=its, env=environment
    )
    os.close(its)
    screen = Screen(ours, colour=colour)
    try:
        yield screen
    finally:
        process.terminate()
        await process.wait()
        screen.close()
