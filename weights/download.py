"""OpenAI's own files by a resumable download; what every source of weights has in common.

A source writes under another name inside the cache, checks the sha256 and then renames, so that
what has its final name is whole. Two processes at once: `weights.resolve` holds a lock.
"""

from __future__ import annotations

import hashlib
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from weights.catalogue import Known
from weights.errors import SourceError

TIMEOUT_S: Final = 8  # to connect, and between two pieces: a firewall that drops costs no minutes
CHUNK: Final = 1 << 20  # bytes


def from_openai(known: Known, cache: Path, console: Console) -> tuple[Path, str]:
    """Fetch OpenAI's own file, going on where an earlier try stopped -> path, sha256."""
    part = cache / f"{known.name}.pt.part"
    with told(known.name, "OpenAI", console):
        download(known.url, part, known.name, console)
        sha256 = file_sha256(part)
        if sha256 != known.sha256:
            part.unlink()
            raise SourceError(f"{known.url} gave sha256 {sha256}, not {known.sha256}")
        return part.replace(cache / f"{known.name}.pt"), sha256


def download(url: str, part: Path, name: str, console: Console) -> None:
    """Fetch `url` into `part`, from its end on, and again after a break as long as more came.

    Raises SourceError when a try brought nothing. `part` stays for the next call.
    """
    with bar(console, name) as show:
        while True:
            before = size(part)
            try:
                if _go_on(url, part, show):
                    return
                problem = "the connection was closed early"
            except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
                problem = _reason(error)
            if size(part) <= before:
                raise SourceError(f"{url}: {problem}")


def _reason(error: OSError | HTTPException) -> str:
    if isinstance(error, URLError) and not isinstance(error, HTTPError):
        return str(error.reason)  # urllib wraps it into "<urlopen error ...>"
    return str(error) or type(error).__name__


def _go_on(url: str, part: Path, show: Callable[[int, int], None]) -> bool:
    """One request for what `part` lacks; False when the answer ended before the file did."""
    headers = {"Range": f"bytes={size(part)}-"} if size(part) else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 -- the URLs are constants
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 -- as above
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # nothing is missing, as far as length goes: the sha256 will tell
        raise
    resumed = response.status == HTTPStatus.PARTIAL_CONTENT
    with response, part.open("ab" if resumed else "wb") as out:
        total = out.tell() + int(response.headers["Content-Length"])
        while piece := response.read(CHUNK):
            out.write(piece)
            show(out.tell(), total)
        return out.tell() == total


@contextmanager
def told(name: str, source: str, console: Console) -> Iterator[None]:
    """One line before and one after; what fails leaves as SourceError that names the source."""
    say(console, f"{name}: fetching from {source}")
    started = time.monotonic()
    try:
        yield
    except (OSError, SourceError) as error:
        raise SourceError(f"{source}: {error}") from error
    say(console, f"{name}: fetched and checked in {time.monotonic() - started:.1f} s")


def say(console: Console, line: str) -> None:
    """One line as it is: paths and foreign messages are no markup."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bar(console: Console, name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere; it is shown (bytes done, bytes in all)."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def file_sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def size(file: Path) -> int:
    """Bytes of a file, which may not be there (any more)."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
