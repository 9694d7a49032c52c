from __future__ import annotations

import subprocess
import sys

import pytest

from bench.quality.recordings import recordings
from bench.robustness.chaos import oracle
from bench.robustness.chaos.hidden_counters import Piece, hide
from bench.robustness.chaos.oracle import DEVICE_ASSERT, Oracle, OracleMode
from consumer.core.audio.samples import from_float, to_float
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.errors import OutOfMemory
from evaluation.samples import SAMPLES

SPEECH = from_float(recordings(SAMPLES)[0].samples)

POISONED = """
from bench.robustness.chaos.oracle import OracleMode, Oracle
from bench.robustness.chaos.hidden_counters import hide
from consumer.core.audio.samples import to_float
from consumer.core.scheduling.jobs import DecodeRequest
import numpy as np
clip = DecodeRequest(to_float(hide(np.zeros(3200, np.int16), 4, poison={3})))
Oracle(OracleMode()).transcribe([clip])
"""


def test_it_writes_what_was_hidden_in_its_input() -> None:
    sound = hide(SPEECH, 12)
    clips = [DecodeRequest(to_float(sound[a:b]), ("zh",)) for a, b in ((0, 16_000), (777, 50_001))]
    decoded = Oracle(OracleMode(slowness=0)).transcribe(clips)
    assert [oracle.read(each.text) for each in decoded] == [
        [Piece(12, 0, 16_000)],
        [Piece(12, 777, 50_001)],
    ]
    assert decoded[0].language == "zh"


def test_its_wording_differs_from_decode_to_decode() -> None:
    piece = Piece(1, 2, 3)
    texts = {oracle.write([piece]) for _ in range(200)}
    assert len(texts) > 1
    assert all(oracle.read(text) == [piece] for text in texts)


def test_speech_without_counters_is_nothing() -> None:
    (decoded,) = Oracle(OracleMode(slowness=0)).transcribe([DecodeRequest(to_float(SPEECH[:8000]))])
    assert oracle.read(decoded.text) == []


def test_above_its_rows_it_is_out_of_memory() -> None:
    clips = [DecodeRequest(to_float(SPEECH[:8000]))] * 2
    small = Oracle(OracleMode(slowness=0, max_rows=1))
    with pytest.raises(OutOfMemory, match="2 rows, and 1 fit"):
        small.transcribe(clips)
    assert small.transcribe(clips[:1])


def test_poison_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", POISONED], capture_output=True, text=True, check=False
    )
    assert done.returncode == DEVICE_ASSERT
    assert "device assert at" in done.stderr
