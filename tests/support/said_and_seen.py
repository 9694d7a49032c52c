"""A take that was said and transcribed as it should be, to be spoilt by tests of the checker."""

from __future__ import annotations

from collections.abc import Sequence

from example_events import transcript_final

from bench.chaos import oracle
from bench.chaos.evidence import Evidence, Seen, Sent, Standing
from bench.chaos.hidden_counters import Piece
from bench.chaos.takes import Closing, Kind, Label, Plan, Style
from schemas.transcript import (
    AnyEvent,
    Source,
    StreamEnded,
    StreamEndReason,
    StreamStarted,
    TranscriptFinal,
)

TAKE, STREAM, SESSION, PARTITION = 7, "s", "3-100", 3
CHUNK = 16_000
PLAN = Plan(TAKE, STREAM, Style.SEQ_START, Closing.END, channels=1, chunk=CHUNK)
SPEECH = [(8_000, 40_000), (60_000, 90_000), (114_000, 150_000)]


def final(number: int, start: int, end: int, take: int = TAKE, **more: object) -> TranscriptFinal:
    told: dict = {
        "stream_id": STREAM,
        "session_id": SESSION,
        "index": number + 1,
        "utterance": number,
        "start_s": start / 16e3,
        "end_s": end / 16e3,
        "speech_end_s": end / 16e3,
        "start_sample": start,
        "end_sample": end,
        "text": oracle.write([Piece(take, start, end)]),
        "source": Source("t", PARTITION, 100, 110),
    }
    return transcript_final(**(told | more))


def event(kind: type[AnyEvent], index: int, **more: object) -> AnyEvent:
    return kind(stream_id=STREAM, session_id=SESSION, index=index, time_ms=0, **more)


def ended(utterances: int) -> AnyEvent:
    more = {"reason": StreamEndReason.END, "audio_s": 1, "speech_s": 1, "gaps": 0}
    return event(StreamEnded, 99, utterances=utterances, **more)


STARTED = event(StreamStarted, 0, rate=16_000, channels=1, languages=())
FINALS = [final(0, 4_000, 42_000), final(1, 56_000, 92_000), final(2, 112_000, 152_000)]
RIGHT: list[AnyEvent] = [STARTED, *FINALS, ended(3)]


def seen(events: Sequence[AnyEvent]) -> list[Seen]:
    return [Seen(PARTITION, offset, 0.0, each) for offset, each in enumerate(events)]


def sent(*labels: Label) -> list[Sent]:
    return [Sent(PARTITION, 100 + at, 0.0, label) for at, label in enumerate(labels)]


def sound(first: int, last: int) -> list[Label]:
    chunks = range(first, last)
    return [Label(Kind.SOUND, TAKE, n * CHUNK, (n + 1) * CHUNK) for n in chunks]


def evidence(events: Sequence[AnyEvent] = RIGHT, **more: object) -> Evidence:
    told: dict = {
        "plans": {TAKE: PLAN},
        "sent": sent(*sound(0, 10)),
        "seen": seen(events),
        "again": seen(events),
        "dead": [],
        "deleted": [],
        "standings": {PARTITION: Standing(110, 110, 110, {"accepted": 10})},
        "spoken": {TAKE: SPEECH},
        "names_samples": True,
    }
    return Evidence(**(told | more))
