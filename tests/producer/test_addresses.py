"""Addresses as inputs: an error with the command to use."""

from __future__ import annotations

import pytest

from producer.__main__ import main
from producer.addresses import address_problem


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("https://e.org/a%20b.mp3?x=1&y=@", "curl -sfL 'https://e.org/a%20b.mp3?x=1&y=@' | "),
        ("rtsp://camera/1", "ffmpeg -loglevel error -i rtsp://camera/1 -f wav - | "),
        ("s3://bucket/talk.mp3", "COMMAND-THAT-READS-IT | "),
        ("file:///tmp/a.wav", "name the path instead"),
    ],
)
def test_an_address_is_a_problem_with_the_next_step(address: str, advice: str) -> None:
    problem = address_problem(address)
    assert problem is not None
    assert problem.startswith(f"{address}: ")
    assert problem.endswith(advice + "streamscribe publish -" * advice.endswith("| "))


@pytest.mark.parametrize("path", ["talk.wav", "/data/talk.wav", "a:b.wav", "10:30 talk.wav", "-"])
def test_a_path_is_no_address(path: str) -> None:
    assert address_problem(path) is None


def test_a_login_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rtsp://user:se@cret@camera/1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "rtsp://camera/1" in line
    assert "cret" not in line
    assert "user" not in line
