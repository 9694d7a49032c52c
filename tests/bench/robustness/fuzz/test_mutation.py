from __future__ import annotations

import io
from random import Random

import numpy as np
import pytest
import soundfile

from bench.robustness.fuzz.mutation import mutated, with_ogg_checksums

CORPUS = [b"", b"RIFF" + bytes(range(200)), b"OggS" + bytes(100)]


def many(seed: int) -> list[bytes]:
    rng = Random(seed)
    return [mutated(rng, CORPUS, 1_000) for _ in range(500)]


def test_a_seed_is_a_series_of_inputs() -> None:
    assert many(1) == many(1) != many(2)


def test_inputs_differ_from_each_other_and_stay_within_the_limit() -> None:
    made = many(3)
    assert len(set(made)) > 300
    assert max(map(len, made)) <= 1_000


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_checksums_are_those_of_encoders(subtype: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(4_000), 16_000, format="OGG", subtype=subtype)
    ogg = file.getvalue()
    assert with_ogg_checksums(ogg) == ogg
    damaged = bytearray(ogg)
    damaged[-1] ^= 1
    assert with_ogg_checksums(bytes(damaged)) != bytes(damaged)


@pytest.mark.parametrize("data", [b"", b"OggS", b"OggS" * 9, b"OggS" + b"\xff" * 26, b"xOggSOgg"])
def test_truncated_pages_keep_their_length(data: bytes) -> None:
    assert len(with_ogg_checksums(data)) == len(data)
