"""Against a real HTTP server on this machine that can be told to break off."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from weights.catalogue import Known
from weights.download import download, from_openai
from weights.errors import SourceError

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Origin(ThreadingHTTPServer):
    """Serves CONTENT under any address that ends in .pt."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.ranges: list[str | None] = []  # as asked for
        self.honours_ranges = True
        self.break_off_after: list[int] = []  # bytes, of the answers to come

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Origin

    def do_GET(self) -> None:
        if not self.path.endswith(".pt"):
            return self.send_error(HTTPStatus.NOT_FOUND)
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        start = 0
        if wanted and self.server.honours_ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(CONTENT):
            return self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        cut = self.server.break_off_after.pop(0) if self.server.break_off_after else len(CONTENT)
        self.wfile.write(CONTENT[start : start + cut])
        return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
        pass


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "x.pt.part"


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO())


def test_a_file_comes_whole(origin: Origin, part: Path, console: Console):
    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT
    assert origin.ranges == [None]


def test_a_part_is_gone_on_with(origin: Origin, part: Path, console: Console):
    part.write_bytes(CONTENT[:1000])

    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT
    assert origin.ranges == ["bytes=1000-"]


def test_a_server_without_ranges_starts_anew(origin: Origin, part: Path, console: Console):
    part.write_bytes(b"y" * 1000)
    origin.honours_ranges = False

    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT


def test_broken_connections_are_taken_up(origin: Origin, part: Path, console: Console):
    origin.break_off_after = [100, 200]

    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT
    assert origin.ranges == [None, "bytes=100-", "bytes=300-"]


def test_a_try_that_brings_nothing_is_the_last(origin: Origin, part: Path, console: Console):
    origin.break_off_after = [100, 0]

    with pytest.raises(SourceError, match="closed early"):
        download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT[:100]


def test_a_whole_part_needs_no_more(origin: Origin, part: Path, console: Console):
    part.write_bytes(CONTENT)

    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT


def test_what_the_server_says_is_told(origin: Origin, part: Path, console: Console):
    with pytest.raises(SourceError, match="x: HTTP Error 404: Not Found"):
        download(f"{origin.url}/x", part, "x", console)


def test_a_refused_connection_is_told(part: Path, console: Console):
    with pytest.raises(SourceError, match=r"x\.pt: .*refused"):
        download("http://127.0.0.1:1/x.pt", part, "x", console)


def test_checked_weights_get_their_name(origin: Origin, tmp_path: Path, console: Console):
    known = Known("x", SHA256, 1, host=origin.url)

    assert from_openai(known, tmp_path, console) == (tmp_path / "x.pt", SHA256)
    assert [file.name for file in tmp_path.iterdir()] == ["x.pt"]


def test_other_content_is_thrown_away(origin: Origin, tmp_path: Path, console: Console):
    with pytest.raises(SourceError, match=f"gave sha256 {SHA256}, not 0123"):
        from_openai(Known("x", "0123", 1, host=origin.url), tmp_path, console)

    assert not list(tmp_path.iterdir())


def test_elsewhere_than_on_a_terminal_two_lines_are_all(origin: Origin, tmp_path: Path):
    told = StringIO()

    from_openai(Known("x", SHA256, 1, host=origin.url), tmp_path, Console(file=told))

    first, second = told.getvalue().splitlines()
    assert first == "x: fetching from OpenAI"
    assert second.startswith("x: fetched and checked in ")


def test_on_a_terminal_a_bar_is_drawn(origin: Origin, part: Path):
    told = StringIO()

    download(f"{origin.url}/x.pt", part, "x", Console(file=told, force_terminal=True))

    assert "1.0/1.0 MB" in told.getvalue()
