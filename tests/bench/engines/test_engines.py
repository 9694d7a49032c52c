"""Every engine in this process, on a clip whose text is known: what peers offer may change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.engines.catalog import OPENAI_WORDS, PEERS, Engine, Variant, Weights, ours
from bench.layouts import written
from bench.recordings import Recording, recordings
from consumer.inference.checkpoint import load
from evaluation.samples import SAMPLES
from evaluation.scoring import english

USED = [PEERS[name] for name in ("openai-whisper", "faster-whisper", "transformers")]
VARIANTS = [ours("fp32"), ours("fp32", again=True), OPENAI_WORDS, *USED]
BEGINNING = ["and", "so", "my", "fellow"]


@pytest.fixture(scope="module")
def weights(tiny_en_weights: Path) -> Iterator[Weights]:
    with written(tiny_en_weights, load(tiny_en_weights), USED) as weights:
        yield weights


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: variant.load)
def variant(request: pytest.FixtureRequest) -> Variant:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def engine(weights: Weights, variant: Variant) -> Engine:
    return variant.engine(weights)


@pytest.fixture(scope="module")
def spoken() -> Recording:
    return next(one for one in recordings(SAMPLES, {"en"}) if one.name == "en_jfk")


def test_every_engine_writes_what_is_said_in_order(engine: Engine, spoken: Recording):
    clips = [spoken.samples, spoken.samples[: 5 * 16_000]]
    whole, part = engine.transcribe(clips, ["en", "en"], words=False)

    assert english(whole.text) == english(spoken.reference)
    assert english(part.text)[:4] == BEGINNING
    assert whole.words is None


def test_every_engine_times_words(engine: Engine, variant: Variant, spoken: Recording):
    (heard,) = engine.transcribe([spoken.samples[: 5 * 16_000]], ["en"], words=True)

    assert english(heard.text)[:4] == BEGINNING
    if variant.needs == "transformers":  # times of tokens, which its caller joins
        assert heard.words is None
    else:
        assert heard.words is not None
        assert english("".join(word.text for word in heard.words)) == english(heard.text)


def test_an_engine_that_is_not_installed_is_known_before_it_is_loaded():
    assert Variant("x", "", "fp32", needs="no_such_package_anywhere").missing
    assert not any(variant.missing for variant in VARIANTS)
