"""What Whisper wrote for one utterance, with its own measures of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from consumer.core.streams.language import IdentifiedLanguage


@dataclass(frozen=True, slots=True)
class TimedWord:
    """One word of a hypothesis; seconds from the clip's first sample."""

    text: str  # as it stands in the text, leading space included
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What Whisper wrote for one clip, with Whisper's own measures of it."""

    text: str
    language: str  # Whisper code
    language_probability: float | None  # among all; None: the language was given
    tokens: tuple[int, ...]  # text tokens, without the end
    avg_logprob: float  # sum of log-probabilities / (tokens + 1), as openai-whisper defines it
    no_speech_prob: float
    compression_ratio: float
    temperature: float = 0.0
    folded: bool = False  # decoded with the folded encoder
    words: tuple[TimedWord, ...] | None = field(default=None)  # None: not wanted
    identified: IdentifiedLanguage | None = None  # the language by itself; None: it was given
    ended: bool = True  # by the model; else by the token limit
    earlier: tuple[Hypothesis, ...] = ()  # all attempts so far, if another is due; (): it stands


@dataclass(frozen=True, slots=True, eq=False)
class TimedHypothesis:
    """A hypothesis, and where the time went."""

    hypothesis: Hypothesis
    queue_ms: int  # utterance closed -> decode begun, the last if there were several
    decode_ms: int  # of its batch
    done_ms: int  # Unix time
