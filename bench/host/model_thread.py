"""The time that the model's thread takes beside the model: Python and small copies, on one core.

The mel spectrogram, the encoder and the decoder are replaced by functions that return tensors of a
few numbers, and whatever runs in their place is not counted. Every clip is decoded to a given text
with the real vocabulary, by steps that are replayed as on a GPU.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from whisper.model import ModelDimensions

from bench.framework import Advance
from bench.host.host_part import PartFindings
from bench.host.part_times import PartTimes
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Speech, Utterance
from consumer.core.scheduling.capacity import POSITION_SAMPLES, BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest, Samples
from consumer.core.text.hypothesis import Hypothesis
from consumer.engine.transcriber_thread import request_samples
from consumer.inference import alignment, clip_encoder, decode, mel, token_step, whisper_engine
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.clip_encoder import ClipEncoder
from consumer.inference.decode import BatchDecoder
from consumer.inference.device import Device
from consumer.inference.graph_capture import GraphCache
from consumer.inference.model import DecoderCache
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.whisper_engine import WhisperTranscriber
from evaluation.report import Check, Figures

ROWS: Final = 16  # of a batch
MAX_MS: Final = {"words": 0.6, "text": 0.15}  # targets: an utterance with word times, and without
_DIMS: Final = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=8,
    n_audio_head=1,
    n_audio_layer=1,
    n_vocab=51_865,
    n_text_ctx=448,
    n_text_state=8,
    n_text_head=1,
    n_text_layer=1,
)
_MODEL: Final = "model"  # the part that is not counted
_REST: Final = "rest"
_LOGPROB: Final = -0.2
_SECONDS_PER_TOKEN: Final = 0.2
_RMS: Final = 1_600  # -26 dB, a usual level

TEXTS: Final = (
    ("en", " And so, my fellow Americans, ask not what your country can do for you."),
    ("en", " I'd like to buy a Chromecast, and I was wondering whether you could help me."),
    ("en", " The invention of movable metal letters may justly be considered as the beginning."),
    ("en", " Certainly. Which color would you like? We have blue, black, and red."),
    ("en", " Okay, so that's 1,234.50 dollars, due on March 3rd (a Monday)."),
    ("en", " Yes."),
    ("en", " Could you spell your last name for me, please?"),
    ("en", " It rained all night, and by the morning the road to the village was gone."),
    ("de", " Schon früher hat der Rat Pessimismus hinsichtlich dieses Fonds erkennen lassen."),
    ("de", " Ein Ausflug zu Pferde wird als Ausritt bezeichnet."),
    ("fr", " Est-ce que vous pourriez répéter la dernière phrase, s'il vous plaît ?"),
    ("es", " ¿Cuándo llega el próximo tren a Barcelona?"),
    ("zh", "现在这个部门还在研究月球探测器和自动驾驶汽车。"),
    ("zh", "维持透明运行比什么都必须,他说明现在我们很有危机感。"),
    ("ja", "明日の会議は午後三時から始まります。"),
    ("ru", " Завтра утром мы поедем в город за покупками."),
)


class NullModel:
    """Replaces mel spectrogram, encoder and decoder: clips of known lengths have known texts.

    `lengths` are the clips' samples, all different; `texts` are their tokens without the end.
    """

    def __init__(
        self, lengths: Sequence[int], texts: Sequence[Sequence[int]], end: int, times: PartTimes
    ) -> None:
        self._times = times
        self.read_audio = times.timed(_MODEL, self._read_audio)
        self.logits = times.timed(_MODEL, torch.clone)
        self._states = times.timed(_MODEL, self._decode)
        self._index = {length: at for at, length in enumerate(lengths)}
        width = max(map(len, texts)) + 1
        padded = [[*text] + [end] * (width - len(text)) for text in texts]
        self._tokens = torch.tensor(padded)
        self._begin = 0
        self._random = torch.Generator().manual_seed(0)
        self.alignment_heads = [(0, 0)]

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Replace the products of every transcriber that is made meanwhile."""
        zeros, timed = torch.zeros(1), partial(self._times.timed, _MODEL)
        with ExitStack() as patches:
            for owner, name, substitute in (
                (clip_encoder, "LogMel", lambda *_: self._mel),
                (clip_encoder, "Encoder", lambda *_: timed(self._encode)),
                (whisper_engine, "Decoder", lambda *_: self),
                (token_step, "choose", timed(self._choose)),
                (decode, "probability", timed(_probability)),
                (Vocabulary, "masks", lambda *_: (zeros, zeros)),
                (alignment, "alignments", self._times.timed("alignment", alignment.alignments)),
            ):
                patches.enter_context(mock.patch.object(owner, name, substitute))
            patches.enter_context(mock.patch.dict(decode.POLL_STEPS, cpu=decode.POLL_STEPS["cuda"]))
            yield

    def replay(self, step: Callable[[], None]) -> Callable[[], None]:
        """Return the replay of a step, as a recording of it on a device."""
        return self._times.timed(_MODEL, step)

    def _mel(self, clips: Sequence[Samples], positions: int) -> Tensor:
        """Return the number of each clip, [B, 1, 1], after the host's part of the spectrogram."""
        mel.padded(clips, positions * POSITION_SAMPLES)
        return torch.tensor([self._index[len(clip)] for clip in clips])[:, None, None]

    def _encode(self, numbers: Tensor, source: Tensor, *_: Tensor) -> Tensor:
        return numbers.expand(*source.shape, _DIMS.n_audio_state).float()

    def _read_audio(self, features: Tensor, out: Tensor) -> None:
        """Write random keys of one head, of which the first number is that of the text."""
        rows = out.view(len(features), -1, *out.shape[1:])
        rows.copy_(torch.randn(rows.shape[-2:], generator=self._random))
        rows[:, :, 0, 0, 0, 0, 0] = features[:, :1, 0]

    def __call__(self, *arguments: Any) -> Tensor:
        return self._states(*arguments)

    def _decode(
        self, tokens: Tensor, _: Tensor, columns: Tensor, __: Tensor, cache: DecoderCache
    ) -> Tensor:
        """Return the number of each row's text and of the next token, [B, S, 2]."""
        if tokens.shape[1] > 1:
            self._begin = tokens.shape[1]
            if cache.queries is not None:
                cache.queries.normal_(generator=self._random)
        number = cache.cross[:, 0, 0, 0, 0, 0, None].expand(tokens.shape)
        count = (columns + 1 - self._begin).expand(tokens.shape)
        return torch.stack([number, count.float()], -1)

    def _choose(self, states: Tensor, *_: object) -> tuple[Tensor, Tensor]:
        """Return the next tokens of the texts and their log-probabilities, [B, 1]."""
        number, count = states.long().unbind(1)
        token = self._tokens[number, count.clamp_(max=self._tokens.shape[1] - 1)]
        return token[:, None], torch.full((len(token), 1), _LOGPROB)


def _probability(logits: Tensor, _: int) -> Tensor:
    return torch.full((len(logits),), 0.01)


@dataclass(frozen=True, slots=True)
class ModelThread:
    """A transcriber of a null model and the utterances that it transcribes."""

    transcriber: WhisperTranscriber
    utterances: Sequence[Utterance]
    times: PartTimes

    def transcribe(self, *, words: bool) -> list[Hypothesis]:
        """Do all that the model's thread does for one batch."""
        clips = [
            DecodeRequest(request_samples(utterance), (language,), words=words)
            for utterance, (language, _) in zip(self.utterances, TEXTS, strict=True)
        ]
        return self.transcriber.transcribe(clips)

    def seconds(self, *, words: bool) -> dict[str, float]:
        """Return the processor time of one batch by part."""
        self.times.seconds.clear()
        self.times.run(_REST, self.transcribe, words=words)
        return dict(self.times.seconds)


@contextmanager
def model_thread() -> Iterator[ModelThread]:
    """Yield the model's thread with a null model, warm."""
    vocabulary, times = Vocabulary(_DIMS.n_vocab, _DIMS.n_text_ctx), PartTimes()
    tokens = [vocabulary.tokenizer(language).encode(text) for language, text in TEXTS]
    utterances = [_utterance(at, len(text)) for at, text in enumerate(tokens)]
    lengths = [len(utterance.samples) for utterance in utterances]
    model = NullModel(lengths, tokens, vocabulary.end, times)
    checkpoint = Checkpoint("null", "", _DIMS, {"": torch.zeros(1)}, ())
    device = Device(torch.device("cpu"), torch.float32, "processor", "for a bench")
    with model.replaced(), torch.inference_mode():
        transcriber = WhisperTranscriber(
            checkpoint,
            device,
            fold=True,
            limits=BatchLimits(ROWS, 8192),
            steps=GraphCache(model.replay),
        )
        thread = ModelThread(transcriber, utterances, times)
        for words in (True, False, True, False):
            thread.transcribe(words=words)
        yield thread


@contextmanager
def _parts(times: PartTimes) -> Iterator[None]:
    """Time the parts of the model's thread apart."""
    with ExitStack() as patches:
        for owner, name, part in (
            (mel, "padded", "audio"),
            (ClipEncoder, "encode", "encode"),
            (Vocabulary, "prompt", "prompts"),
            (Vocabulary, "text", "texts"),
            (BatchDecoder, "decode", "batch"),
            (GraphCache, "run", "steps"),
            (decode, "starts_s", "times"),
            (whisper_engine, "timed_words", "words"),
            (whisper_engine, "compression_ratio", "compression"),
            (whisper_engine, "is_accepted", "acceptance"),
            (whisper_engine, "select", "acceptance"),
        ):
            timed = times.timed(part, getattr(owner, name))
            patches.enter_context(mock.patch.object(owner, name, timed))
        yield


def arguments(_: ArgumentParser) -> None:
    """Add nothing: `--rounds` is a flag of ingest."""


def measure(given: Namespace, advance: Advance) -> PartFindings:
    """Return the milliseconds of the model's thread for an utterance, in total and by part."""
    found = measured(given.rounds)
    advance(1, "model thread")
    checks = [
        Check(f"model thread: {name}", float(found[f"{name}.ms"] or 0), most, required=False)
        for name, most in MAX_MS.items()
    ]
    return PartFindings({f"model thread: {name}": ms for name, ms in found.items()}, checks)


def measured(rounds: int) -> Figures:
    """Return the milliseconds of an utterance. The fastest round counts: others share the core.

    The totals are measured without the parts, whose clock takes time itself. Alignments are part of
    the model; their time on this processor is a figure of its own.
    """
    figures: Figures = {}
    torch.set_num_threads(1)
    with model_thread() as thread:
        for name, timed in (("words", True), ("text", False)):
            run = partial(thread.seconds, words=timed)
            total = [run() for _ in range(rounds)]
            figures[f"{name}.ms"] = min(map(_counted, total)) / ROWS * 1000
            with _parts(thread.times):
                by_part = [run() for _ in range(rounds)]
            fastest = min(by_part, key=_counted)
            for part in sorted({*fastest} - {_MODEL}):
                figures[f"{name}.{part}_ms"] = fastest[part] / ROWS * 1000
    return figures


def _counted(seconds: dict[str, float]) -> float:
    return sum(taken for part, taken in seconds.items() if part not in {_MODEL, "alignment"})


def _utterance(number: int, tokens: int) -> Utterance:
    """Return noise at a usual level, as long as speech of so many tokens."""
    samples = round((0.5 + tokens * _SECONDS_PER_TOKEN) * WHISPER_RATE) + number
    noise = np.random.default_rng(number).normal(0, _RMS, samples)
    return Utterance(
        number=number,
        start=0,
        end=samples,
        speech_end=samples,
        rate=WHISPER_RATE,
        samples=noise.astype(np.int16),
        end_reason=EndReason.SILENCE,
        speech=Speech(1.0, 1.0, 1.0),
    )
