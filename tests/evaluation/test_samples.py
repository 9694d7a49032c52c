from __future__ import annotations

from pathlib import Path

import pytest

from devstack.demo_report import MAX_ERROR_RATE
from evaluation.samples import SamplesMissing, load_samples
from evaluation.scoring import tokens
from schemas.topics import valid_stream_id


def test_every_sample_can_be_published_and_scored():
    samples = load_samples()
    assert len({sample.stream_id for sample in samples}) == len(samples) >= 5
    for sample in samples:
        assert sample.path.is_file()
        assert valid_stream_id(sample.stream_id)
        assert sample.language in MAX_ERROR_RATE
        assert tokens(sample.reference, sample.language)


def test_missing_samples_are_reported_with_their_source(tmp_path: Path):
    with pytest.raises(SamplesMissing, match="clone it and run `make demo`"):
        load_samples(tmp_path)
