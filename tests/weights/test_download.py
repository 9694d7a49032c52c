"""Downloads from a real HTTP server on this machine that can close connections early."""

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
    """Serves CONTENT under any URL that ends in .pt."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RequestHandler)
        self.ranges: list[str | None] = []  # of the requests
        self.supports_ranges = True
        self.close_after: list[int] = []  # bytes of the next responses

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class RequestHandler(BaseHTTPRequestHandler):
    server: Origin

    def do_GET(self) -> None:
        if not self.path.endswith(".pt"):
            return self.send_error(HTTPStatus.NOT_FOUND)
        requested = self.headers["Range"]
        self.server.ranges.append(requested)
        start = 0
        if requested and self.server.supports_ranges:
            start = int(requested.removeprefix("bytes=").removesuffix("-"))
        if start >= len(CONTENT):
            return self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        length = self.server.close_after.pop(0) if self.server.close_after else len(CONTENT)
        self.wfile.write(CONTENT[start : start + length])
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


def test_a_file_is_downloaded_completely(origin: Origin, part: Path, console: Console):
    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT
    assert origin.ranges == [None]


def test_a_partial_file_is_resumed(origin: Origin, part: Path, console: Console):
    part.write_bytes(CONTENT[:1000])

    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT
    assert origin.ranges == ["bytes=1000-"]


def test_a_server_without_ranges_restarts_the_download(
    origin: Origin, part: Path, console: Console
):
    part.write_bytes(b"y" * 1000)
    origin.supports_ranges = False

    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT


def test_a_broken_connection_is_resumed(origin: Origin, part: Path, console: Console):
    origin.close_after = [100, 200]

    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT
    assert origin.ranges == [None, "bytes=100-", "bytes=300-"]


def test_a_request_without_data_ends_the_download(origin: Origin, part: Path, console: Console):
    origin.close_after = [100, 0]

    with pytest.raises(SourceError, match="closed early"):
        download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT[:100]


def test_a_complete_partial_file_is_accepted(origin: Origin, part: Path, console: Console):
    part.write_bytes(CONTENT)

    download(f"{origin.url}/x.pt", part, "x", console)

    assert part.read_bytes() == CONTENT


def test_an_http_error_is_reported(origin: Origin, part: Path, console: Console):
    with pytest.raises(SourceError, match="x: HTTP Error 404: Not Found"):
        download(f"{origin.url}/x", part, "x", console)


def test_a_refused_connection_is_reported(part: Path, console: Console):
    with pytest.raises(SourceError, match=r"x\.pt: .*refused"):
        download("http://127.0.0.1:1/x.pt", part, "x", console)


def test_verified_weights_get_their_final_name(origin: Origin, tmp_path: Path, console: Console):
    known = Known("x", SHA256, 1, host=origin.url)

    assert from_openai(known, tmp_path, console) == (tmp_path / "x.pt", SHA256)
    assert [file.name for file in tmp_path.iterdir()] == ["x.pt"]


def test_content_with_another_hash_is_deleted(origin: Origin, tmp_path: Path, console: Console):
    with pytest.raises(SourceError, match=f"gave sha256 {SHA256}, not 0123"):
        from_openai(Known("x", "0123", 1, host=origin.url), tmp_path, console)

    assert not list(tmp_path.iterdir())


def test_without_a_terminal_two_lines_are_printed(origin: Origin, tmp_path: Path):
    output = StringIO()

    from_openai(Known("x", SHA256, 1, host=origin.url), tmp_path, Console(file=output))

    first, second = output.getvalue().splitlines()
    assert first == "x: fetching from OpenAI"
    assert second.startswith("x: fetched and verified in ")


def test_on_a_terminal_a_progress_bar_is_drawn(origin: Origin, part: Path):
    output = StringIO()

    download(f"{origin.url}/x.pt", part, "x", Console(file=output, force_terminal=True))

    assert "1.0/1.0 MB" in output.getvalue()
