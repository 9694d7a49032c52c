"""Observations of the live bench: two clips published to one stream from second 1000 on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.live.conversations import Conversation, LiveScenario, SpeechClip, join_clips
from bench.live.observations import LagSample, Observation, PlaybackClock, ReceivedEvent
from schemas.transcript import AnyEvent

RATE = 16_000
CLOCK = PlaybackClock(start_s=1000.0, pace=1.0)


def speech_clip(name: str, reference: str, *, margin_s: float = 0.0) -> SpeechClip:
    """Return a clip of 2 s; `margin_s` without speech at its start and at its end."""
    margin = round(margin_s * RATE)
    samples = np.zeros(2 * RATE, np.int16)
    return SpeechClip(name, "en", reference, samples, ((margin, len(samples) - margin),))


CLIPS = [speech_clip("a", "red green"), speech_clip("b", "blue white")]
CONVERSATION = join_clips("s", CLIPS, [RATE, RATE])  # 8 s; speech from 1 to 3 and from 4 to 6 s


def observation(
    *received: ReceivedEvent[AnyEvent],
    conversations: Sequence[Conversation] = (CONVERSATION,),
    clock: PlaybackClock = CLOCK,
    until_s: float | None = None,
    lag_samples: Sequence[LagSample] = (),
) -> Observation:
    """Return an observation; `until_s`: when the bench stopped waiting for stream "s" to end."""
    return Observation(
        LiveScenario(conversations, clock.pace, partials=False, patience_s=1.0),
        clock,
        received,
        ended=frozenset({"s"} if until_s is None else ()),
        until_s=1020.0 if until_s is None else until_s,
        cpu_s=0.8,
        late_s=0.01,
        lag_samples=lag_samples,
    )
