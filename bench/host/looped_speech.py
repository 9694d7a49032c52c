"""Streams that repeat a clip of real speech, with a pause after each time, as Kafka records.

Every record has 100 ms of audio and the headers `seq`, `start` and `captured_ms`. The words of an
utterance have times, and each text differs from all others, as no conversation repeats itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from bench.quality.recordings import spoken_samples
from consumer.core.audio.loudness import FRAME_MS, Loudness
from consumer.core.audio.utterance import Int16Array, Utterance
from consumer.core.scheduling.jobs import Job
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.units import units
from evaluation.samples import SampleClip
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import encode_audio

RECORD_MS: Final = 100
POLL_MS: Final = 50
START_MS: Final = 1_700_000_000_000
_PAUSE_S: Final = 1.5
_LOUD: Final = 0.02  # power of a frame of speech, as a share of the mean
_PROBABILITY: Final = 0.9  # of a word


@dataclass(frozen=True, slots=True)
class LoopedClip:
    """A clip with its pause; the words have times."""

    samples: Int16Array  # [n]
    rate: int
    language: str
    words: tuple[TimedWord, ...]  # seconds from the first sample

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def audio(self, seconds: float) -> Int16Array:
        """Return that much of the clip, repeated."""
        return np.resize(self.samples, round(seconds * self.rate))

    def words_within(self, start_s: float, end_s: float) -> Iterator[TimedWord]:
        """Yield the words of a stretch of the repeated clip, timed from its start."""
        for loop in range(int(start_s / self.seconds), int(end_s / self.seconds) + 1):
            shift_s = loop * self.seconds - start_s
            for word in self.words:
                times = word.start_s + shift_s, word.end_s + shift_s
                if times[0] >= 0 and times[1] <= end_s - start_s:
                    yield TimedWord(word.text, *times, word.probability)


@dataclass(frozen=True, slots=True)
class SpeechLog:
    """The streams of a partition, and its log as one fetch response a poll."""

    clips: dict[str, LoopedClip]  # by stream id
    polls: tuple[bytes, ...]  # batches of one record each, as publishers without linger send them
    records: int


def speech_log(folder: Path, streams: int, seconds: float) -> SpeechLog:
    """Return the log of that many streams; every second one asks for partials."""
    found = [looped(clip) for clip in spoken_samples(folder)]
    clips = {f"call-{number}": found[number % len(found)] for number in range(streams)}
    chunks = sorted(
        (
            pair
            for number, name in enumerate(clips)
            for pair in _chunks(name, number, clips, seconds)
        ),
        key=lambda pair: pair[0],
    )
    polls: dict[int, bytes] = {}
    for offset, (at_ms, chunk) in enumerate(chunks):
        poll = at_ms // POLL_MS
        polls[poll] = polls.get(poll, b"") + _batch(offset, START_MS + at_ms, chunk)
    return SpeechLog(clips, tuple(polls[number] for number in sorted(polls)), len(chunks))


class SpokenTexts:
    """Answers jobs with the words that the clip has there, and a number that occurs once."""

    def __init__(self, clips: dict[str, LoopedClip]) -> None:
        self._clips = clips
        self._numbers = count()

    def text_of(self, job: Job) -> Hypothesis:
        utterance = job.utterance
        clip = self._clips[job.id.session.stream_id]
        return self.hypothesis(clip, utterance)

    def hypothesis(self, clip: LoopedClip, utterance: Utterance) -> Hypothesis:
        words = [
            *clip.words_within(utterance.start / utterance.rate, utterance.end / utterance.rate)
        ]
        if words:  # the last one is replaced: its times are those of speech
            last = words.pop()
            text = f" {next(self._numbers):x}"
            words.append(TimedWord(text, last.start_s, last.end_s, last.probability))
        return Hypothesis(
            text="".join(word.text for word in words).strip(),
            language=clip.language,
            language_probability=None,
            tokens=tuple(range(len(words))),
            avg_logprob=-0.2,
            no_speech_prob=0.02,
            compression_ratio=1.3,
            words=tuple(words),
        )


def looped(clip: SampleClip, pause_s: float = _PAUSE_S) -> LoopedClip:
    """Return a clip with a pause, a whole number of records long."""
    samples, rate = soundfile.read(clip.path, dtype="int16")
    records = round((len(samples) / rate + pause_s) * 1000 / RECORD_MS)
    pause = np.zeros(records * RECORD_MS * rate // 1000 - len(samples), np.int16)
    texts = [unit.text for unit in units(clip.reference)]
    return LoopedClip(
        np.concatenate((samples, pause)), rate, clip.language, _timed(texts, samples, rate)
    )


def _timed(texts: Sequence[str], samples: Int16Array, rate: int) -> tuple[TimedWord, ...]:
    """Return the words at equal shares of the loud frames."""
    powers = Loudness.of(samples, rate).powers
    loud = np.flatnonzero(powers > _LOUD * powers.mean())
    bounds = loud[np.linspace(0, len(loud) - 1, len(texts) + 1).astype(int)] * FRAME_MS / 1000
    return tuple(
        TimedWord(text, start_s, end_s, _PROBABILITY)
        for text, (start_s, end_s) in zip(texts, pairwise(bounds.tolist()), strict=True)
    )


def _chunks(
    name: str, number: int, clips: dict[str, LoopedClip], seconds: float
) -> Iterator[tuple[int, AudioChunk]]:
    """Yield the records of a stream with their times in ms; streams begin one after the other."""
    clip = clips[name]
    audio, size = clip.audio(seconds), clip.rate * RECORD_MS // 1000
    begin_ms = number * RECORD_MS // len(clips)
    options = StreamOptions(languages=(clip.language,), partials=bool(number % 2))
    for seq, start in enumerate(range(0, len(audio), size)):
        at_ms = begin_ms + seq * RECORD_MS
        yield (
            at_ms + RECORD_MS,
            AudioChunk(
                name,
                audio[start : start + size].tobytes(),
                rate=clip.rate,
                channels=1,
                seq=seq,
                start=start,
                captured_ms=START_MS + at_ms,
                options=options if seq == 0 else StreamOptions(),
            ),
        )


def _batch(offset: int, timestamp_ms: int, chunk: AudioChunk) -> bytes:
    """Return the record as a batch of its own at that offset."""
    key, value, headers = encode_audio(chunk)
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 0)
    builder.append(0, timestamp_ms, key, value, headers)
    built = builder.build()
    built[:8] = offset.to_bytes(8, "big")  # as the broker does; no checksum covers it
    return bytes(built)
