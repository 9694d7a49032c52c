from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
import whisper
from small_whisper import CPU, checkpoint_of, small_whisper
from whisper import DecodingOptions, DecodingResult, Whisper, timing
from whisper.tokenizer import get_tokenizer

from consumer.core.audio.utterance import Float32Array
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.streams.language import UNKNOWN
from consumer.core.text.hypothesis import Hypothesis
from consumer.inference import checkpoint
from consumer.inference.device import Device
from consumer.inference.whisper_engine import WhisperTranscriber
from evaluation.scoring import score
from schemas.audio import Task

SAMPLES = Path(__file__).parents[3] / "samples"
ROWS = [json.loads(line) for line in (SAMPLES / "manifest.jsonl").read_text("utf-8").splitlines()]
BF16 = Device(torch.device("cpu"), torch.bfloat16, "processor", "for tests")
INT8 = replace(BF16, int8=True)


@cache
def audio(file: str) -> Float32Array:
    samples, rate = soundfile.read(SAMPLES / file, dtype="float32")
    return soxr.resample(samples, rate, 16_000).astype(np.float32)


def noise(seconds: float, seed: int = 0) -> Float32Array:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(round(seconds * 16_000))).astype(np.float32)


SPEECH = [DecodeRequest(audio(row["file"]), (row["lang"],)) for row in ROWS]


def openai(model: Whisper, clip: DecodeRequest, **options: object) -> DecodingResult:
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip.samples), model.dims.n_mels)
    wanted = DecodingOptions(without_timestamps=True, fp16=False, temperature=0.0, **options)
    return whisper.decode(model, mel, wanted)


def oracle(path: Path) -> Whisper:
    """openai-whisper's own model of the same weights."""
    loaded = checkpoint.load(path)
    model = Whisper(loaded.dims)
    model.load_state_dict({name: tensor.float() for name, tensor in loaded.state.items()})
    heads = torch.zeros(loaded.dims.n_text_layer, loaded.dims.n_text_head, dtype=torch.bool)
    heads[tuple(torch.tensor(loaded.alignment_heads).T)] = True
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return model.eval()


def assert_close(got: Hypothesis, expected: DecodingResult) -> None:
    assert got.text == expected.text
    assert got.compression_ratio == expected.compression_ratio
    # Ours gives no probability to special tokens inside a text.
    assert got.avg_logprob == pytest.approx(expected.avg_logprob, abs=5e-3)
    assert got.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=1e-4)


@pytest.fixture(scope="module")
def small() -> WhisperTranscriber:
    return WhisperTranscriber(checkpoint_of(small_whisper()), CPU, fold=True, max_rows=3)


@pytest.fixture(scope="module")
def padded(base_weights: Path) -> WhisperTranscriber:
    return WhisperTranscriber(checkpoint.load(base_weights), CPU, fold=False)


@pytest.fixture(scope="module")
def folded(base_weights: Path) -> WhisperTranscriber:
    return WhisperTranscriber(checkpoint.load(base_weights), CPU, fold=True)


@pytest.fixture(scope="module")
def heard(folded: WhisperTranscriber) -> list[Hypothesis]:
    """All samples, folded, with word times."""
    return folded.transcribe(
        [DecodeRequest(clip.samples, clip.languages, words=True) for clip in SPEECH]
    )


def test_a_text_without_end_stops_at_the_limit(small: WhisperTranscriber):
    (hypothesis,) = small.transcribe([DecodeRequest(noise(1.0), ("en",))])
    assert len(hypothesis.tokens) == 16  # half of the text positions


def one_by_one(
    engine: WhisperTranscriber, clips: list[DecodeRequest]
) -> tuple[list[Hypothesis], list[int]]:
    """Each attempt in a call of its own; the last texts, and how many clips each call had."""
    texts: dict[int, Hypothesis] = {}
    waiting = {at: replace(clip, once=True) for at, clip in enumerate(clips)}
    calls = []
    while waiting:
        calls.append(len(waiting))
        texts |= zip(waiting, engine.transcribe([*waiting.values()]), strict=True)
        again = {at: clip for at, clip in waiting.items() if texts[at].earlier}
        waiting = {at: replace(clip, earlier=texts[at].earlier) for at, clip in again.items()}
    return [texts[at] for at in range(len(clips))], calls


def written(text: Hypothesis) -> tuple[object, ...]:
    return text.tokens, text.language, text.temperature, text.folded, text.words is None


def test_one_attempt_a_call_comes_to_the_same_texts(small: WhisperTranscriber):
    """Clips at unlike rungs of the ladder in one call, with and without word times."""
    clips = [
        DecodeRequest(noise(0.5 + n, seed=n), ("en", "de")[: 1 + n % 2], words=n == 2)
        for n in range(5)
    ]
    clips.append(DecodeRequest(noise(1.0, seed=9), ("en",), padded=True))
    texts, calls = one_by_one(small, clips)
    assert [written(text) for text in texts] == [written(t) for t in small.transcribe(clips)]
    assert calls == [6, 6, 5]


def test_one_attempt_says_what_has_been_tried(small: WhisperTranscriber):
    clip = DecodeRequest(noise(1.0), ("en",), once=True)
    (first,) = small.transcribe([clip])
    (second,) = small.transcribe([replace(clip, earlier=first.earlier)])
    assert [(text.folded, text.temperature) for text in second.earlier] == [(True, 0), (False, 0)]
    assert first.earlier == second.earlier[:1]
    (third,) = small.transcribe([replace(clip, earlier=second.earlier)])
    assert third.earlier == ()


def test_speech_that_nothing_can_be_made_of_comes_to_the_same_texts_one_attempt_a_call(
    folded: WhisperTranscriber, monkeypatch: pytest.MonkeyPatch
):
    """The floor is where no text comes up to it: every clip takes every attempt."""
    monkeypatch.setattr("consumer.core.text.fallback.MIN_AVG_LOGPROB", 0.0)
    clips = [DecodeRequest(SPEECH[at].samples[:40_000], SPEECH[at].languages[:at]) for at in (0, 4)]
    texts, calls = one_by_one(folded, clips)
    assert [written(text) for text in texts] == [written(t) for t in folded.transcribe(clips)]
    assert calls == [2, 2, 2]


def test_what_is_drawn_depends_on_the_clip_alone(small: WhisperTranscriber):
    clips = [DecodeRequest(noise(0.5 + n, seed=n), ("en",), words=n == 2) for n in range(5)]
    together = small.transcribe(clips)
    alone = [small.transcribe([clip])[0] for clip in clips]
    assert [h.tokens for h in together] == [h.tokens for h in alone]
    assert len({h.tokens for h in together}) > 1


def test_nothing_in_is_nothing_out(small: WhisperTranscriber):
    assert small.transcribe([]) == []


@pytest.mark.parametrize("samples", [0, 480_001])
def test_a_clip_of_impossible_length_is_refused(small: WhisperTranscriber, samples: int):
    with pytest.raises(ValueError, match="1 to 480000"):
        small.transcribe([DecodeRequest(np.zeros(samples, np.float32))])


def test_an_unknown_language_is_refused(small: WhisperTranscriber):
    with pytest.raises(ValueError, match="no language called xx"):
        small.transcribe([DecodeRequest(noise(1.0), ("xx", "en"))])


def test_the_padded_decode_is_openai_whispers(padded: WhisperTranscriber, base_weights: Path):
    model = oracle(base_weights)
    clips = [SPEECH[0], SPEECH[2], SPEECH[4], SPEECH[5]]
    for clip, got in zip(clips, padded.transcribe(clips), strict=True):
        assert_close(got, openai(model, clip, language=clip.languages[0]))


def test_prompt_task_and_identified_language_are_openai_whispers(
    padded: WhisperTranscriber, base_weights: Path
):
    model = oracle(base_weights)
    prompted = DecodeRequest(SPEECH[0].samples, ("en",), prompt="Inaugural address, 1961")
    translated = DecodeRequest(SPEECH[1].samples, ("en",), task=Task.TRANSLATE)
    unknown = DecodeRequest(SPEECH[-1].samples)
    one, two, three = padded.transcribe([prompted, translated, unknown])
    assert_close(one, openai(model, prompted, language="en", prompt=prompted.prompt))
    assert_close(two, openai(model, translated, language="en", task="translate"))
    assert_close(three, openai(model, unknown))
    assert three.language == "zh"


def test_a_mixed_batch_is_what_each_clip_is_alone(folded: WhisperTranscriber):
    clips = [
        DecodeRequest(SPEECH[0].samples, ("en",)),
        DecodeRequest(SPEECH[0].samples[:24_000], ("en", "zh"), words=True),
        DecodeRequest(SPEECH[1].samples[:64_000], ("en",), task=Task.TRANSLATE),
        DecodeRequest(SPEECH[4].samples, (), prompt="以下是普通话的句子。"),
        DecodeRequest(SPEECH[5].samples, ("zh",), hotwords="危机"),
    ]
    together = folded.transcribe(clips)
    for clip, got in zip(clips, together, strict=True):
        (alone,) = folded.transcribe([clip])
        assert (got.text, got.language, got.tokens) == (alone.text, alone.language, alone.tokens)
        assert got.avg_logprob == pytest.approx(alone.avg_logprob, abs=1e-3)
        assert (got.words is None) == (not clip.words)


def assert_few_errors(found: list[Hypothesis]) -> None:
    for language, bound in (("en", 0.15), ("zh", 0.25)):
        scores = [
            score(row["text"], hypothesis.text, language)
            for row, hypothesis in zip(ROWS, found, strict=True)
            if row["lang"] == language
        ]
        assert sum(s.errors for s in scores) <= bound * sum(s.length for s in scores)


def test_folding_keeps_the_texts(heard: list[Hypothesis]):
    assert all(hypothesis.folded for hypothesis in heard)
    assert_few_errors(heard)


@pytest.mark.parametrize("device", [BF16, INT8])
def test_sixteen_and_eight_bits_keep_the_texts(base_weights: Path, device: Device):
    engine = WhisperTranscriber(checkpoint.load(base_weights), device, fold=True)
    assert engine.info.dtype == device.numbers
    assert_few_errors(engine.transcribe(SPEECH))
    assert_few_errors([engine.transcribe([clip])[0] for clip in SPEECH])


def test_only_allowed_languages_are_identified(folded: WhisperTranscriber):
    speech = SPEECH[0].samples[:64_000]
    free, held = folded.transcribe([DecodeRequest(speech), DecodeRequest(speech, ("zh", "de"))])
    assert free.language == "en"
    assert free.language_probability == pytest.approx(1, abs=0.1)
    assert held.language in {"zh", "de"}
    assert held.language_probability == pytest.approx(0, abs=0.1)


def noisy(samples: Float32Array) -> Float32Array:
    """At 0 dB."""
    noise_ = np.random.default_rng(1).standard_normal(len(samples))
    return (samples + noise_ * np.sqrt((samples**2).mean())).astype(np.float32)


def test_a_held_language_does_not_flap_on_short_and_noisy_utterances(base_weights: Path):
    """Chinese callers of whom one says little, and another stands beside a machine."""
    engine = WhisperTranscriber(checkpoint.load(base_weights), BF16, fold=True)
    said = [clip.samples for clip in SPEECH if clip.languages == ("zh",)]
    short = [samples[at : at + 12_000] for samples in said for at in (0, 16_000)]
    call = [said[0], *short, *map(noisy, short), said[1], *(noisy(s[:24_000]) for s in said)]
    alone = engine.transcribe([DecodeRequest(samples) for samples in call])
    assert [hypothesis.language for hypothesis in alone].count("zh") < len(call) - 5
    held = UNKNOWN
    for samples, by_itself in zip(call, alone, strict=True):
        (heard,) = engine.transcribe([DecodeRequest(samples, language=held)])
        assert heard.language == "zh"
        assert heard.identified is not None
        assert heard.identified.code == by_itself.language
        held = held.updated(heard.identified)
    (other,) = engine.transcribe([DecodeRequest(SPEECH[0].samples, language=held)])
    assert other.language == "en"


def test_word_times_lie_in_the_clip_and_near_openai_whispers(
    heard: list[Hypothesis], base_weights: Path
):
    model = oracle(base_weights)
    far = total = 0
    for clip, found in zip(SPEECH, heard, strict=True):
        assert found.words is not None
        assert "".join(word.text for word in found.words) == found.text
        times = [time for word in found.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= len(clip.samples) / 16_000
        for word, start in zip(found.words, reference_starts(model, clip, found), strict=True):
            total += 1
            far += abs(word.start_s - start) > 0.0601
    assert far <= 0.05 * total


def reference_starts(model: Whisper, clip: DecodeRequest, found: Hypothesis) -> list[float]:
    tokenizer = get_tokenizer(
        model.is_multilingual, num_languages=model.num_languages, language=found.language
    )
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip.samples))
    frames = len(clip.samples) // 160
    words = timing.find_alignment(model, tokenizer, [*found.tokens], mel, frames)
    timing.merge_punctuations(words, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
    return [word.start for word in words if word.word]


def test_english_only_weights_take_every_clip_as_english(tiny_en_weights: Path):
    engine = WhisperTranscriber(checkpoint.load(tiny_en_weights), CPU, fold=False)
    engine.warm_up()
    model = oracle(tiny_en_weights)
    clips = [DecodeRequest(SPEECH[0].samples), DecodeRequest(SPEECH[1].samples, ("en",))]
    for clip, found in zip(clips, engine.transcribe(clips), strict=True):
        assert_close(found, openai(model, clip, language="en"))
        assert (found.language, found.language_probability) == ("en", None)
    assert engine.languages == {"en"}
    assert engine.info.fold is False
    assert engine.info.dtype == "float32"
