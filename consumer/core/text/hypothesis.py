"""Hypotheses: the text of an utterance, with Whisper's own measures of it."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.core.streams.language import IdentifiedLanguage


@dataclass(frozen=True, slots=True)
class TimedWord:
    """One word of a hypothesis; seconds from the clip's first sample."""

    text: str  # with its leading space: the words join to the text
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The text of one clip, with Whisper's own measures of it."""

    text: str
    language: str  # Whisper code
    language_probability: float | None  # among all languages; None: the language was given
    tokens: tuple[int, ...]  # text tokens, without the end token
    avg_logprob: float  # sum of log-probabilities / (tokens + 1), as openai-whisper defines it
    no_speech_prob: float
    compression_ratio: float
    temperature: float = 0.0
    folded: bool = False  # decoded with the folded encoder
    words: tuple[TimedWord, ...] | None = None  # None: not requested
    identified: IdentifiedLanguage | None = None  # None: the language was given
    ended: bool = True  # with an end token; else cut at the token limit
    earlier: tuple[Hypothesis, ...] = ()  # all texts so far, if another is needed; (): accepted


@dataclass(frozen=True, slots=True, eq=False)
class TimedHypothesis:
    """A hypothesis and the times of its decode."""

    hypothesis: Hypothesis
    queue_ms: int  # from the end of the utterance to its last decode
    decode_ms: int  # of its batch
    done_ms: int  # Unix time
