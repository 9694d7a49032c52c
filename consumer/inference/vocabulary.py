"""Prompts, token masks, languages and texts of one checkpoint, by Whisper's tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from whisper.tokenizer import Tokenizer, get_tokenizer

from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.chinese import CODE
from schemas.audio import Task

_MULTILINGUAL_VOCABULARY = 51_865  # tokens of the smallest multilingual vocabulary
_OTHER_TOKENS = 51_765  # tokens of the English-only vocabulary that denote no language


class Vocabulary:
    """The tokens of a checkpoint with `n_vocab` tokens and `n_text_ctx` text positions."""

    def __init__(self, n_vocab: int, n_text_ctx: int) -> None:
        self.multilingual = n_vocab >= _MULTILINGUAL_VOCABULARY
        self.size = n_vocab
        self.sample_limit = n_text_ctx // 2
        self._tokenizer = lru_cache(maxsize=None)(self._make_tokenizer)
        plain = self._tokenizer("en", Task.TRANSCRIBE)
        self._encoding = plain.encoding
        self.end, self.start, self.no_speech = plain.eot, plain.sot, plain.no_speech
        self.language_tokens: dict[str, int] = (
            dict(zip(plain.all_language_codes, plain.all_language_tokens, strict=True))
            if self.multilingual
            else {}
        )
        self.start_length = len(plain.sot_sequence_including_notimestamps)

    def _make_tokenizer(self, language: str, task: Task) -> Tokenizer:
        languages = self.size - _OTHER_TOKENS - int(self.multilingual)
        return get_tokenizer(
            self.multilingual, num_languages=languages, language=language, task=task.value
        )

    def tokenizer(self, language: str) -> Tokenizer:
        """Return Whisper's tokenizer; the language determines how words are split."""
        return self._tokenizer(language, Task.TRANSCRIBE)

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, of which none is special, without space at its ends."""
        text: str = self._encoding.decode(tokens)
        return text.strip()

    def prompt(self, clip: DecodeRequest, language: str) -> list[int]:
        """Return the tokens before a clip's text: preceding text, language and task.

        Hotwords come before the preceding text, as in faster-whisper. The last hotwords and the
        oldest text are cut where the prompt leaves no room for `sample_limit` tokens.
        """
        tokenizer = self._tokenizer(language, clip.task)
        room = self.sample_limit - self.start_length - 1
        hotwords = _encoded(tokenizer, clip.hotwords)[:room]
        by_language = clip.prompt is None and language == CODE
        text = _encoded(tokenizer, clip.chinese_prompt if by_language else clip.prompt)
        before = hotwords + text[max(0, len(text) - (room - len(hotwords))) :]
        head = [tokenizer.sot_prev, *before] if before else []
        return [*head, *tokenizer.sot_sequence_including_notimestamps]

    def masks(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the fp32 scores [V] to add to the logits of every token and of the first one.

        They suppress openai-whisper's non-speech symbols and all special tokens but the end, time
        tokens included; for the first token also the end and a single space.
        """
        tokenizer = self.tokenizer("en")
        always = torch.zeros(self.size)
        always[list(tokenizer.non_speech_tokens)] = -torch.inf
        always[self.end + 1 :] = -torch.inf
        first = always.clone()
        first[[*tokenizer.encode(" "), self.end]] = -torch.inf
        return always.to(device), first.to(device)


def _encoded(tokenizer: Tokenizer, text: str | None) -> list[int]:
    if text is None or not text.strip():
        return []
    # Names of special tokens are ordinary text here: a publisher wrote them.
    tokens: list[int] = tokenizer.encode(" " + text.strip(), disallowed_special=())
    return tokens
