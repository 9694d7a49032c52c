"""The engine with real weights and speech, compared with openai-whisper."""

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
from attempts import essence, one_attempt_a_call
from small_whisper import CPU
from whisper import DecodingOptions, DecodingResult, Whisper, timing
from whisper.tokenizer import get_tokenizer

from consumer.core.audio.utterance import Float32Array
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.streams.language import UNKNOWN
from consumer.core.text.hypothesis import Hypothesis
from consumer.inference import checkpoint
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.device import Device
from consumer.inference.whisper_engine import WhisperTranscriber
from evaluation.scoring import score
from schemas.audio import Task

SAMPLES = Path(__file__).parents[3] / "samples"
ROWS = [json.loads(line) for line in (SAMPLES / "manifest.jsonl").read_text("utf-8").splitlines()]
BF16 = Device(torch.device("cpu"), torch.bfloat16, "processor", "for tests")
FP32_INT8 = replace(BF16, dtype=torch.float32, int8=True)


@cache
def audio(file: str) -> Float32Array:
    samples, rate = soundfile.read(SAMPLES / file, dtype="float32")
    return soxr.resample(samples, rate, 16_000).astype(np.float32)


SPEECH = [DecodeRequest(audio(row["file"]), (row["lang"],)) for row in ROWS]


def openai(model: Whisper, clip: DecodeRequest, **options: object) -> DecodingResult:
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip.samples), model.dims.n_mels)
    wanted = DecodingOptions(without_timestamps=True, fp16=False, temperature=0.0, **options)
    return whisper.decode(model, mel, wanted)


def openai_model(weights: Checkpoint) -> Whisper:
    """Return openai-whisper's own model of the same weights."""
    model = Whisper(weights.dims)
    model.load_state_dict({name: tensor.float() for name, tensor in weights.state.items()})
    heads = torch.zeros(weights.dims.n_text_layer, weights.dims.n_text_head, dtype=torch.bool)
    heads[tuple(torch.tensor(weights.alignment_heads).T)] = True
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return model.eval()


def assert_close(got: Hypothesis, expected: DecodingResult) -> None:
    assert got.text == expected.text
    assert got.compression_ratio == expected.compression_ratio
    # Ours gives no probability to special tokens inside a text.
    assert got.avg_logprob == pytest.approx(expected.avg_logprob, abs=5e-3)
    assert got.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=1e-4)


@pytest.fixture(scope="module")
def base(base_weights: Path) -> Checkpoint:
    return checkpoint.load(base_weights)


@pytest.fixture(scope="module")
def reference(base: Checkpoint) -> Whisper:
    return openai_model(base)


@pytest.fixture(scope="module")
def padded(base: Checkpoint) -> WhisperTranscriber:
    return WhisperTranscriber(base, CPU, fold=False)


@pytest.fixture(scope="module")
def folded(base: Checkpoint) -> WhisperTranscriber:
    return WhisperTranscriber(base, CPU, fold=True)


@pytest.fixture(scope="module")
def hypotheses(folded: WhisperTranscriber) -> list[Hypothesis]:
    """All sample clips, folded, with word times."""
    return folded.transcribe(
        [DecodeRequest(clip.samples, clip.languages, words=True) for clip in SPEECH]
    )


def test_one_attempt_a_call_gives_the_texts_of_one_call(
    folded: WhisperTranscriber, monkeypatch: pytest.MonkeyPatch
):
    """No text reaches the threshold, so every clip takes all fallback steps."""
    monkeypatch.setattr("consumer.core.text.fallback.MIN_AVG_LOGPROB", 0.0)
    clips = [DecodeRequest(SPEECH[at].samples[:40_000], SPEECH[at].languages[:at]) for at in (0, 4)]
    texts, calls = one_attempt_a_call(folded, clips)
    assert [essence(text) for text in texts] == [essence(t) for t in folded.transcribe(clips)]
    assert calls == [2, 2, 2]


def test_the_padded_decode_equals_openai_whisper(padded: WhisperTranscriber, reference: Whisper):
    clips = [SPEECH[0], SPEECH[2], SPEECH[4], SPEECH[5]]
    for clip, got in zip(clips, padded.transcribe(clips), strict=True):
        assert_close(got, openai(reference, clip, language=clip.languages[0]))


def test_prompt_task_and_identified_language_equal_openai_whisper(
    padded: WhisperTranscriber, reference: Whisper
):
    prompted = DecodeRequest(SPEECH[0].samples, ("en",), prompt="Inaugural address, 1961")
    translated = DecodeRequest(SPEECH[1].samples, ("en",), task=Task.TRANSLATE)
    unknown = DecodeRequest(SPEECH[-1].samples)
    one, two, three = padded.transcribe([prompted, translated, unknown])
    assert_close(one, openai(reference, prompted, language="en", prompt=prompted.prompt))
    assert_close(two, openai(reference, translated, language="en", task="translate"))
    assert_close(three, openai(reference, unknown))
    assert three.language == "zh"


def test_a_clip_has_the_same_text_in_a_mixed_batch_as_alone(folded: WhisperTranscriber):
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


def assert_few_errors(rows: list[dict[str, str]], found: list[Hypothesis]) -> None:
    for language, bound in (("en", 0.15), ("zh", 0.25)):
        scores = [
            score(row["text"], hypothesis.text, language)
            for row, hypothesis in zip(rows, found, strict=True)
            if row["lang"] == language
        ]
        assert sum(s.errors for s in scores) <= bound * sum(s.length for s in scores)


def test_folded_texts_have_few_errors(hypotheses: list[Hypothesis]):
    assert all(hypothesis.folded for hypothesis in hypotheses)
    assert_few_errors(ROWS, hypotheses)


@pytest.mark.parametrize(
    "device", [BF16, replace(BF16, int8=True), FP32_INT8], ids=lambda device: device.numbers
)
def test_texts_in_bf16_and_int8_have_few_errors(base: Checkpoint, device: Device):
    """One clip a language, alone and in a batch: int8 weights serve up to four rows.

    bf16 is emulated on processors without it, so there are no more clips.
    """
    engine = WhisperTranscriber(base, device, fold=True)
    assert engine.info.dtype == device.numbers
    at = [1, 5]
    rows, clips = [ROWS[i] for i in at], [SPEECH[i] for i in at]
    assert_few_errors(rows * 3, engine.transcribe(clips * 3))
    assert_few_errors(rows, [engine.transcribe([clip])[0] for clip in clips])


def test_only_allowed_languages_are_identified(folded: WhisperTranscriber):
    speech = SPEECH[0].samples[:64_000]
    free, limited = folded.transcribe([DecodeRequest(speech), DecodeRequest(speech, ("zh", "de"))])
    assert free.language == "en"
    assert free.language_probability == pytest.approx(1, abs=0.1)
    assert limited.language in {"zh", "de"}
    assert limited.language_probability == pytest.approx(0, abs=0.1)


def noisy(samples: Float32Array) -> Float32Array:
    """Add white noise at 0 dB."""
    noise = np.random.default_rng(1).standard_normal(len(samples))
    return (samples + noise * np.sqrt((samples**2).mean())).astype(np.float32)


def test_a_held_language_survives_short_and_noisy_utterances(folded: WhisperTranscriber):
    """Utterances of Chinese callers, several of which are identified as other languages alone."""
    zh = [clip.samples for clip in SPEECH if clip.languages == ("zh",)]
    short = [samples[at : at + 12_000] for samples in zh for at in (0, 16_000)]
    call = [zh[0], *short, *map(noisy, short), zh[1], *(noisy(s[:24_000]) for s in zh)]
    alone = folded.transcribe([DecodeRequest(samples, once=True) for samples in call])
    assert [hypothesis.language for hypothesis in alone].count("zh") < len(call) - 5
    held = UNKNOWN
    for samples, by_itself in zip(call, alone, strict=True):
        (found,) = folded.transcribe([DecodeRequest(samples, language=held, once=True)])
        assert found.language == "zh"
        assert found.identified is not None
        assert found.identified.code == by_itself.language
        held = held.updated(found.identified)
    (other,) = folded.transcribe([DecodeRequest(SPEECH[0].samples, language=held)])
    assert other.language == "en"


def test_word_times_are_inside_the_clip_and_near_those_of_openai_whisper(
    hypotheses: list[Hypothesis], reference: Whisper
):
    far = total = 0
    for clip, found in zip(SPEECH, hypotheses, strict=True):
        assert found.words is not None
        assert "".join(word.text for word in found.words) == found.text
        times = [time for word in found.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= len(clip.samples) / 16_000
        starts = reference_starts(reference, clip, found)
        for word, start in zip(found.words, starts, strict=True):
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


def test_english_only_weights_decode_every_clip_as_english(tiny_en_weights: Path):
    weights = checkpoint.load(tiny_en_weights)
    engine = WhisperTranscriber(weights, CPU, fold=False)
    engine.warm_up()
    model = openai_model(weights)
    clips = [DecodeRequest(SPEECH[0].samples), DecodeRequest(SPEECH[1].samples, ("en",))]
    for clip, found in zip(clips, engine.transcribe(clips), strict=True):
        assert_close(found, openai(model, clip, language="en"))
        assert (found.language, found.language_probability) == ("en", None)
    assert engine.languages == {"en"}
    assert engine.info.fold is False
    assert engine.info.dtype == "float32"
