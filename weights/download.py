"""Resumable downloads from OpenAI, and the helpers of all sources of weights.

A source writes under a temporary name in the cache, verifies the sha256 and then renames, so that a
file with its final name is complete. `weights.resolve` locks the cache against other processes.
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

TIMEOUT_S: Final = 8  # to connect, and between chunks: fails soon where a firewall drops packets
CHUNK: Final = 1 << 20  # bytes


def from_openai(known: Known, cache: Path, console: Console) -> tuple[Path, str]:
    """Download OpenAI's file, resuming an earlier download; return its path and sha256."""
    part = cache / f"{known.name}.pt.part"
    with fetching(known.name, "OpenAI", console):
        download(known.url, part, known.name, console)
        sha256 = file_sha256(part)
        if sha256 != known.sha256:
            part.unlink()
            raise SourceError(f"{known.url} gave sha256 {sha256}, not {known.sha256}")
        return part.replace(cache / f"{known.name}.pt"), sha256


def download(url: str, part: Path, name: str, console: Console) -> None:
    """Append the rest of `url` to `part`, retrying as long as each request brings more bytes.

    Raises SourceError when a request brings none. `part` is kept for the next call.
    """
    with bar(console, name) as show:
        while True:
            before = size(part)
            try:
                if _resume(url, part, show):
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


def _resume(url: str, part: Path, show: Callable[[int, int], None]) -> bool:
    """Request the bytes that `part` lacks; return whether the response was complete."""
    headers = {"Range": f"bytes={size(part)}-"} if size(part) else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 -- the URLs are constants
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 -- as above
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # the length is right; the sha256 is checked afterwards
        raise
    resumed = response.status == HTTPStatus.PARTIAL_CONTENT
    with response, part.open("ab" if resumed else "wb") as out:
        total = out.tell() + int(response.headers["Content-Length"])
        while chunk := response.read(CHUNK):
            out.write(chunk)
            show(out.tell(), total)
        return out.tell() == total


@contextmanager
def fetching(name: str, source: str, console: Console) -> Iterator[None]:
    """Print one line before and one after; raise errors as SourceError with the source's name."""
    print_line(console, f"{name}: fetching from {source}")
    started = time.monotonic()
    try:
        yield
    except (OSError, SourceError) as error:
        raise SourceError(f"{source}: {error}") from error
    print_line(console, f"{name}: fetched and verified in {time.monotonic() - started:.1f} s")


def print_line(console: Console, line: str) -> None:
    """Print a line without markup, which paths and foreign messages may seem to contain."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bar(console: Console, name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal only; yield its update function (bytes done, total)."""
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
    """Return the bytes of a file; 0 if it does not exist."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
