"""Every engine, in this process, on a clip of known text: peers change their interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.engine.engines.catalog import (
    OPENAI_ALIGNED,
    PEERS,
    ClipEngine,
    Variant,
    Weights,
    streamscribe,
)
from bench.engine.layouts import written
from bench.quality.recordings import Recording, recordings
from consumer.inference.checkpoint import load
from evaluation.samples import SAMPLES
from evaluation.scoring import english

USED = [PEERS[name] for name in ("openai-whisper", "faster-whisper", "transformers")]
VARIANTS = [streamscribe("fp32"), streamscribe("fp32", redecode=True), OPENAI_ALIGNED, *USED]
BEGINNING = ["and", "so", "my", "fellow"]


@pytest.fixture(scope="module")
def weights(tiny_en_weights: Path) -> Iterator[Weights]:
    with written(tiny_en_weights, load(tiny_en_weights), USED) as weights:
        yield weights


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: variant.load)
def variant(request: pytest.FixtureRequest) -> Variant:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def engine(weights: Weights, variant: Variant) -> ClipEngine:
    return variant.engine(weights)


@pytest.fixture(scope="module")
def clip() -> Recording:
    return next(one for one in recordings(SAMPLES, {"en"}) if one.name == "en_jfk")


def test_every_engine_writes_the_texts_of_clips_in_order(engine: ClipEngine, clip: Recording):
    clips = [clip.samples, clip.samples[: 5 * 16_000]]
    whole, part = engine.transcribe(clips, ["en", "en"], words=False)

    assert english(whole.text) == english(clip.reference)
    assert english(part.text)[:4] == BEGINNING
    assert whole.words is None


def test_every_engine_times_words(engine: ClipEngine, variant: Variant, clip: Recording):
    (found,) = engine.transcribe([clip.samples[: 5 * 16_000]], ["en"], words=True)

    assert english(found.text)[:4] == BEGINNING
    if variant.package == "transformers":  # it times tokens, and leaves joining them to its users
        assert found.words is None
    else:
        assert found.words is not None
        assert english("".join(word.text for word in found.words)) == english(found.text)


def test_a_missing_engine_is_detected_without_loading_it():
    assert not Variant("x", "", "fp32", package="no_such_package_anywhere").is_installed
    assert all(variant.is_installed for variant in VARIANTS)
