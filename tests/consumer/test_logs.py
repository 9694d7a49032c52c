from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog

from consumer import logs
from consumer.settings import LogFormat


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restore the logging configuration, which belongs to the process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    quiet = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(
    form: LogFormat = LogFormat.JSON, level: str = "info", stream: io.StringIO | None = None
) -> io.StringIO:
    stream = stream or io.StringIO()
    logs.configure(form, level, stream)
    return stream


def test_a_line_is_one_json_object():
    stream = configured()
    structlog.get_logger("consumer").info("model ready", device="cpu", rows=16, text="你好\n")
    (line,) = lines(stream)
    assert line["event"] == "model ready"
    assert (line["level"], line["logger"]) == ("info", "consumer")
    assert (line["device"], line["rows"], line["text"]) == ("cpu", 16, "你好\n")
    assert line["timestamp"].endswith("Z")


def test_records_of_libraries_have_the_same_format():
    stream = configured()
    logging.getLogger("aiohttp.access").warning("%d requests from %s", 3, "here")
    (line,) = lines(stream)
    assert line["event"] == "3 requests from here"
    assert (line["level"], line["logger"]) == ("warning", "aiohttp.access")


@pytest.mark.parametrize("library", [True, False])
def test_an_exception_is_logged_in_its_line(library: bool):
    stream = configured()
    log = logging.getLogger("x") if library else structlog.get_logger("x")
    try:
        {}["device"]
    except KeyError:
        log.exception("failed")
    (line,) = lines(stream)
    assert line["event"] == "failed"
    assert "KeyError: 'device'" in line["exception"]


def test_values_without_a_json_form_are_logged_by_their_repr():
    stream = configured()
    structlog.get_logger("x").info("odd", value={1, 2}, raw=b"\xff")
    assert lines(stream)[0]["value"] == "{1, 2}"


def test_records_below_the_level_are_dropped():
    stream = configured(level="warning")
    log = structlog.get_logger("x")
    log.info("no")
    log.warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize("name", ["aiokafka", "aiokafka.consumer.fetcher", "numba", "asyncio"])
def test_libraries_log_only_warnings_at_level_debug(name: str):
    stream = configured(level="debug")
    logging.getLogger(name).debug("password=secret")
    logging.getLogger(name).info("joined")
    logging.getLogger(name).warning("lost")
    structlog.get_logger("consumer").debug("ours")
    assert [line["event"] for line in lines(stream)] == ["lost", "ours"]


def test_a_terminal_gets_readable_lines_in_colour():
    stream = configured(LogFormat.AUTO, stream=Terminal())
    structlog.get_logger("x").info("ready", group="streamscribe")
    assert "ready" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


def test_a_pipe_gets_json_unless_the_console_form_is_set():
    stream = configured(LogFormat.AUTO)
    structlog.get_logger("x").info("ready")
    assert lines(stream)
    stream = configured(LogFormat.CONSOLE)
    structlog.get_logger("x").info("ready", group="streamscribe")
    assert "group=streamscribe" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


def test_configuring_again_does_not_duplicate_lines():
    configured()
    stream = configured()
    structlog.get_logger("x").info("once")
    assert len(lines(stream)) == 1


@pytest.mark.parametrize("form", [LogFormat.CONSOLE, LogFormat.JSON])
def test_a_traceback_does_not_show_the_values_of_variables(form: LogFormat):
    stream = configured(form)
    secret = str(uuid4())
    try:
        fail(secret)
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert "ValueError" in stream.getvalue()
    assert secret not in stream.getvalue()


def fail(text: str) -> None:
    """Raise with `text` in a local variable."""
    raise ValueError(len(text))


HOSTILE = "call-1\n2026-01-01 [info] forged\r\x1b[2J\x07\x9b31m\u202e"


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
def test_values_from_a_publisher_cannot_break_a_line_or_move_the_cursor(form: LogFormat):
    stream = configured(form)
    structlog.get_logger("consumer").warning("rejected", error=HOSTILE, given={"key": HOSTILE})
    logging.getLogger("library").warning("%s", HOSTILE)
    written = stream.getvalue()
    assert written.count("\n") == 2
    assert all(character.isprintable() for character in written.replace("\n", ""))


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
def test_the_length_of_a_line_is_bounded(form: LogFormat):
    stream = configured(form)
    text = "x" * (1 << 20)
    structlog.get_logger("consumer").warning(text, error=text, raw=text.encode(), each=[text] * 9)
    assert len(stream.getvalue()) < 5 * logs.LONGEST


@pytest.mark.parametrize("logger", [structlog.get_logger("consumer"), logging.getLogger("library")])
def test_a_traceback_is_not_truncated(logger: Any):
    stream = configured()
    text = "y" * 2 * logs.LONGEST
    try:
        float(text)
    except ValueError as error:
        logger.exception("failed", exc_info=error)
    (line,) = lines(stream)
    assert text in line["exception"]
