"""The scenarios of a run, made of clips by the seed alone: the same for every system."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Final

from bench.live.clips import ClipSet
from bench.live.conversations import (
    Conversation,
    LiveScenario,
    SpeechClip,
    draw_conversation,
    join_clips,
)
from consumer.core.audio.utterance import WHISPER_RATE

SCENARIOS: Final = ("talk", "long", "silent", "overload")
COMPARED: Final = ("talk", "long")  # their texts are compared with the decode of whole clips
LEAVES: Final = "leaves"  # prefix of the streams whose end ends the overload
PATIENCE_S: Final = 30.0
_SILENT_GAP_S: Final = 2.0
_OVERLOAD: Final = 3.0  # times the number of streams
_OVERLOAD_S: Final = 60.0
_RELIEF: Final = 0.5  # times the number of streams, during the overload and after it
_RELIEF_S: Final = 180.0


class ScenarioFactory:
    """Makes scenarios of a set of clips, as the command line asks for."""

    def __init__(self, clips: ClipSet, asked: argparse.Namespace) -> None:
        self._clips, self._asked = clips, asked

    def round(self, number: int) -> dict[str, LiveScenario]:
        """Return the scenarios of a round by name: talk in every round, the others in round 0."""
        streams, seconds = self._asked.streams, 60 * self._asked.minutes
        makers: dict[str, Callable[[], list[Conversation]]] = {
            "talk": lambda: self._draw(f"talk-{number}", streams, seconds)
        }
        if number == 0:
            makers |= {"long": self._long, "silent": self._silent, "overload": self._overload}
        made = {name: make() for name, make in makers.items() if name in self._asked.scenarios}
        return {name: self._scenario(each) for name, each in made.items() if each}

    def talk(self, prefix: str, streams: int, seconds: float) -> LiveScenario:
        return self._scenario(self._draw(prefix, streams, seconds))

    def _scenario(self, conversations: list[Conversation]) -> LiveScenario:
        partials = self._asked.partials == "on"
        return LiveScenario(conversations, self._asked.pace, partials, PATIENCE_S)

    def _draw(self, prefix: str, streams: int, seconds: float) -> list[Conversation]:
        """Draw conversations in the languages of the clips in turn."""
        speech, seed = self._clips.speech, self._asked.seed
        languages = islice(cycle(speech), streams)
        return self._with_noise(
            draw_conversation(f"{prefix}-{index}", speech[language], seconds, seed)
            for index, language in enumerate(languages)
        )

    def _overload(self) -> list[Conversation]:
        streams = self._asked.streams
        staying = max(1, round(_RELIEF * streams))
        return [
            *self._draw("stays", staying, _OVERLOAD_S + _RELIEF_S),
            *self._draw(LEAVES, round(_OVERLOAD * streams) - staying, _OVERLOAD_S),
        ]

    def _long(self) -> list[Conversation]:
        return self._with_noise(self._clips.long)

    def _silent(self) -> list[Conversation]:
        """Distribute the clips without speech over the streams."""
        languages, streams = cycle(self._clips.speech), self._asked.streams
        parts = (self._clips.silent[index::streams] for index in range(streams))
        gap = round(_SILENT_GAP_S * WHISPER_RATE)
        return [
            replace(join_clips(f"silent-{n}", part, [gap] * len(part)), language=language)
            for n, (part, language) in enumerate(zip(parts, languages, strict=False))
            if part
        ]

    def _with_noise(self, conversations: Iterable[Conversation]) -> list[Conversation]:
        """Add the noise that is asked for, another to each stream."""
        snr_db = self._asked.noise
        if snr_db is None:
            return [*conversations]
        return [
            replace(each, noise=self._clips.noise(each, snr_db, index))
            for index, each in enumerate(conversations)
        ]


def clips_to_compare(rounds: Sequence[Mapping[str, LiveScenario]]) -> list[SpeechClip]:
    """Return the clips of the scenarios whose texts are compared."""
    return [
        placed.clip
        for scenarios in rounds
        for name in COMPARED
        if name in scenarios
        for conversation in scenarios[name].conversations
        for placed in conversation.clips
    ]
