from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from builders import MODEL, OPTIONS, PARTITION, RATE, loud, quiet

from consumer.core.audio.utterance import (
    WHISPER_RATE,
    EndReason,
    Int16Array,
    Speech,
    Utterance,
)
from consumer.core.scheduling.capacity import CONTEXT, BatchLimits
from consumer.core.scheduling.jobs import Batch, DecodeRequest, Job, JobFailure, JobKind
from consumer.core.streams.language import UNKNOWN, LanguageHold
from consumer.core.streams.records import Lane, SessionKey, UtteranceId
from consumer.core.text.chinese import PROMPT
from consumer.core.text.hypothesis import Hypothesis
from consumer.engine.transcriber_thread import TranscriberThread, request_samples, whisper_samples
from consumer.errors import DeviceLost, OutOfMemory
from consumer.testing import echo
from schemas.audio import StreamOptions, Task
from schemas.transcript import Model

LIMITS = BatchLimits(16, 8192)
KEY = SessionKey(PARTITION, "s", "0-0")


@dataclass
class FakeTranscriber:
    """A transcriber whose texts are lengths, with errors that tests set."""

    info: Model = MODEL
    languages: frozenset[str] = frozenset({"en", "zh", "de"})
    limits: BatchLimits = LIMITS
    fits: int = 100  # most clips in a batch
    before: Callable[[], object] = lambda: None
    check: Callable[[Sequence[DecodeRequest]], object] = lambda _: None
    batches: list[list[DecodeRequest]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def warm_up(self) -> None: ...

    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        self.before()
        self.check(clips)
        self.threads.add(threading.current_thread().name)
        self.batches.append(list(clips))
        if len(clips) > self.fits:
            raise OutOfMemory(f"{len(clips)} rows")
        return [echo(clip.samples.astype(np.int16)) for clip in clips]


def job(samples: Int16Array, rate: int = RATE, options: StreamOptions = OPTIONS) -> Job:
    return Job(
        id=UtteranceId(KEY, 0),
        epoch=1,
        kind=JobKind.FINAL,
        lane=Lane.LIVE,
        closed_at=0.0,
        deadline=0.0,
        utterance=Utterance(
            number=0,
            start=0,
            end=len(samples),
            speech_end=len(samples),
            rate=rate,
            samples=samples,
            end_reason=EndReason.FLUSH,
            speech=Speech(1.0, 1.0, 1.0),
        ),
        options=options,
    )


def batch(*lengths: int) -> Batch:
    return Batch(tuple(job(np.zeros(length, np.int16)) for length in lengths))


@asynccontextmanager
async def started(
    model: FakeTranscriber, timeout_s: float = 60
) -> AsyncIterator[TranscriberThread]:
    """Yield a warm engine, without the batches of the warm-up."""
    engine = TranscriberThread(model, threads=1, timeout_s=timeout_s)
    async with engine:
        model.batches.clear()
        yield engine


async def texts(engine: TranscriberThread, *lengths: int) -> list[str]:
    return [hypothesis.text for hypothesis in await engine.transcribe(batch(*lengths))]


async def clip_of(options: StreamOptions) -> DecodeRequest:
    model = FakeTranscriber()
    async with started(model) as engine:
        await engine.transcribe(Batch((job(loud(0.1), options=options),)))
    return model.batches[0][0]


async def test_texts_come_in_the_order_of_the_jobs():
    async with started(FakeTranscriber()) as engine:
        assert await texts(engine, 30, 10, 20) == ["30 samples", "10 samples", "20 samples"]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_samples_are_resampled_to_whispers_rate(rate: int):
    seconds = np.arange(2 * rate) / rate
    tone = np.rint(16_384 * np.sin(2 * np.pi * 440 * seconds)).astype(np.int16)
    resampled = whisper_samples(job(tone, rate).utterance)
    assert resampled.dtype == np.float32
    assert len(resampled) == 2 * WHISPER_RATE
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * WHISPER_RATE) / WHISPER_RATE)
    inner = slice(1_600, -1_600)
    np.testing.assert_allclose(resampled[inner], expected[inner], atol=2e-3)


def test_full_scale_is_one():
    samples = np.array([-32_768, 0, 16_384], np.int16)
    assert whisper_samples(job(samples).utterance).tolist() == [-1.0, 0.0, 0.5]


def test_samples_at_whispers_rate_are_passed_as_recorded():
    utterance = job(loud(0.1), WHISPER_RATE).utterance
    assert request_samples(utterance) is utterance.samples
    other = job(loud(0.1), 8_000).utterance
    np.testing.assert_array_equal(request_samples(other), whisper_samples(other))


async def test_options_are_passed_to_the_model():
    options = replace(OPTIONS, task=Task.TRANSLATE, prompt="so", hotwords="Kafka", words=True)
    clip = await clip_of(options)
    assert (clip.task, clip.prompt, clip.hotwords) == (Task.TRANSLATE, "so", "Kafka")
    assert clip.words is True


@pytest.mark.parametrize(
    ("tags", "given", "prompt"),
    [
        (("zh",), None, PROMPT),
        (("zh-Hant",), None, PROMPT),
        (("zh",), "", ""),
        (("zh",), "股市", "股市"),
        (("en",), None, None),
        (("zh", "en"), None, None),  # the language is not known yet
    ],
)
async def test_chinese_gets_a_punctuated_prompt_unless_one_is_given(
    tags: tuple[str, ...], given: str | None, prompt: str | None
):
    clip = await clip_of(replace(OPTIONS, languages=tags, prompt=given))
    assert clip.prompt == prompt


@pytest.mark.parametrize("tags", [(), ("zh", "en")])
async def test_a_clip_identified_as_chinese_gets_a_punctuated_prompt(tags: tuple[str, ...]):
    options = replace(OPTIONS, languages=tags)
    assert (await clip_of(options)).chinese_prompt == PROMPT
    assert (await clip_of(replace(options, prompt="股市"))).chinese_prompt == "股市"
    assert (await clip_of(replace(options, task=Task.TRANSLATE))).chinese_prompt is None


@pytest.mark.parametrize(
    ("tags", "codes"),
    [
        (("zh-Hans",), ("zh",)),
        (("zh-Hans", "zh-Hant", "en-GB"), ("zh", "en")),
        ((), ()),
        (("en", "yue"), ("en",)),
    ],
)
async def test_language_tags_become_the_models_codes(tags: tuple[str, ...], codes: tuple[str, ...]):
    assert (await clip_of(replace(OPTIONS, languages=tags))).languages == codes


@pytest.mark.parametrize("isolated", [False, True])
async def test_a_clip_gets_one_attempt_a_call_unless_its_job_is_isolated(isolated: bool):
    model, earlier = FakeTranscriber(), (echo(loud(0.1)),)
    async with started(model) as engine:
        await engine.transcribe(
            Batch((replace(job(loud(0.1)), isolated=isolated, earlier=earlier),))
        )
    ((clip,),) = model.batches
    assert clip.once is not isolated
    assert clip.earlier is earlier


async def test_a_clip_has_the_held_language_and_the_seconds_of_speech():
    quiet_job = job(quiet(2))
    half = replace(quiet_job.utterance, speech=Speech(0.5, 1.0, 0.5))
    for held, expected in (
        (LanguageHold("de", "zh"), LanguageHold("de", "zh")),
        (LanguageHold("yue"), UNKNOWN),
    ):
        model = FakeTranscriber()
        async with started(model) as engine:
            await engine.transcribe(Batch((replace(quiet_job, utterance=half, language=held),)))
        ((clip,),) = model.batches
        assert (clip.language, clip.speech_s) == (expected, 1.0)


async def test_starting_measures_a_small_and_a_large_batch_of_speech():
    model = FakeTranscriber()
    async with TranscriberThread(model, threads=1, timeout_s=60) as engine:
        small, large = engine.timings
    assert {len(clips) for clips in model.batches} == {1, 4}
    assert all(np.abs(clip.samples).max() > 0.1 for clip in model.batches[0])
    assert large.positions == 4 * small.positions


@pytest.mark.parametrize(("rows", "large"), [(64, 16), (1, 2)])
async def test_the_large_batch_is_a_quarter_of_the_largest(rows: int, large: int):
    model = FakeTranscriber(limits=BatchLimits(rows, 32_768))
    async with TranscriberThread(model, threads=1, timeout_s=60):
        assert {len(clips) for clips in model.batches} == {1, large}


async def test_a_row_of_a_model_that_does_not_fold_costs_all_positions():
    model = FakeTranscriber(info=replace(MODEL, fold=False))
    async with TranscriberThread(model, threads=1, timeout_s=60) as engine:
        assert [timing.positions for timing in engine.timings] == [CONTEXT, 4 * CONTEXT]


async def test_a_device_too_small_for_the_large_batch_is_measured_too():
    async with TranscriberThread(FakeTranscriber(fits=2), threads=1, timeout_s=60) as engine:
        assert len(engine.timings) == 2


async def test_a_batch_sets_the_number_of_threads_and_keeps_it_otherwise() -> None:
    used: list[int] = []
    model = FakeTranscriber()
    async with started(model) as engine:
        model.before = lambda: used.append(torch.get_num_threads())
        for threads in (2, 0, 1):
            await engine.transcribe(Batch((job(quiet(2)),), threads=threads))
    assert used == [2, 2, 1]


# --- device errors


async def test_a_batch_that_does_not_fit_is_halved_in_order():
    model = FakeTranscriber()
    async with started(model) as engine:
        model.fits = 2
        assert await texts(engine, 1, 2, 3, 4, 5) == [f"{n} samples" for n in (1, 2, 3, 4, 5)]
    assert [len(clips) for clips in model.batches] == [5, 2, 3, 1, 2]


async def test_a_single_clip_that_does_not_fit_is_device_lost():
    model = FakeTranscriber()
    async with started(model) as engine:
        model.fits = 0
        with pytest.raises(DeviceLost, match=r"2\.5 s does not fit.*smaller model") as raised:
            await engine.transcribe(batch(40_000))
    assert isinstance(raised.value.__cause__, OutOfMemory)


async def test_device_lost_is_raised_unchanged():
    def fail() -> None:
        raise DeviceLost("CUDA error: device-side assert triggered")

    model = FakeTranscriber()
    async with started(model) as engine:
        model.before = fail
        with pytest.raises(DeviceLost, match="device-side assert"):
            await engine.transcribe(batch(10, 10))
    assert model.batches == []


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Release a hung thread after the test: the interpreter would wait for it at exit."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_model_that_does_not_answer_is_device_lost(released: threading.Event):
    model = FakeTranscriber()
    async with started(model, timeout_s=0) as engine:
        model.before = released.wait
        with pytest.raises(DeviceLost, match="has not answered for 0 s"):
            await engine.transcribe(batch(10))


# --- errors that one clip causes


def raise_for(length: int, text: str) -> Callable[[Sequence[DecodeRequest]], None]:
    def check(clips: Sequence[DecodeRequest]) -> None:
        if any(len(clip.samples) == length for clip in clips):
            raise ValueError(text)

    return check


async def test_a_job_for_which_the_model_raises_is_a_failure_and_others_are_decoded():
    model = FakeTranscriber()
    async with started(model) as engine:
        model.check = raise_for(2, "what a publisher wrote")
        replies = await engine.transcribe(batch(1, 2, 3))
    assert [getattr(reply, "text", None) for reply in replies] == ["1 samples", None, "3 samples"]
    assert replies[1] == JobFailure("ValueError")


async def test_the_log_of_a_failure_has_its_place_but_not_the_message(
    capsys: pytest.CaptureFixture[str],
):
    model = FakeTranscriber()
    async with started(model) as engine:
        model.check = raise_for(2, "what a publisher wrote")
        await engine.transcribe(batch(2))
    logged = capsys.readouterr().out
    assert "decode failed" in logged
    assert "raise ValueError(text)" in logged
    assert "what a publisher wrote" not in logged


async def test_an_error_that_known_speech_causes_too_is_raised():
    model = FakeTranscriber()
    async with started(model) as engine:
        model.before = lambda: divmod(1, 0)
        with pytest.raises(ZeroDivisionError):
            await engine.transcribe(batch(1, 2))
