from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.__main__ import main
from bench.live.contestants import naive, read_naive, variants
from bench.live.heard import Ended, Final


def test_what_the_naive_peer_writes_is_read():
    told = b'{"type": "final", "stream_id": "s", "start_s": 1.0, "end_s": 2.5, "text": "hello"}'
    assert read_naive(SimpleNamespace(value=told), 9.0) == Final("s", 1.0, 2.5, "hello", 9.0)
    ended = SimpleNamespace(value=b'{"type": "ended", "stream_id": "s"}')
    assert read_naive(ended, 9.0) == Ended("s")


def test_a_peer_that_cannot_be_run_is_told_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
):
    assert main(["live", "--peer", "whisper-live"]) == 2
    told = capsys.readouterr().err
    assert "tokenizers" in told
    assert "--peer naive" in told


def test_no_peer_needs_no_engine_of_others():
    assert variants(None) == []
    assert naive({}).command == ("bench.live.naive",)
