"""Evidence of a stream that was published and transcribed correctly; tests add faults to it."""

from __future__ import annotations

from collections.abc import Sequence

from example_events import transcript_final

from bench.robustness.chaos import oracle
from bench.robustness.chaos.evidence import (
    LoggedEvent,
    LoggedRecord,
    PartitionProgress,
    RunEvidence,
)
from bench.robustness.chaos.hidden_counters import Piece
from bench.robustness.chaos.test_streams import (
    Closing,
    Label,
    OrderHeaders,
    RecordKind,
    TestStream,
)
from schemas.transcript import (
    AnyEvent,
    Source,
    StreamEnded,
    StreamEndReason,
    StreamStarted,
    TranscriptFinal,
)

NUMBER, STREAM_ID, SESSION, PARTITION = 7, "s", "3-100", 3
CHUNK = 16_000
STREAM = TestStream(NUMBER, STREAM_ID, OrderHeaders.SEQ_START, Closing.END, channels=1, chunk=CHUNK)
SPEECH = [(8_000, 40_000), (60_000, 90_000), (114_000, 150_000)]


def final(
    utterance: int, start: int, end: int, number: int = NUMBER, **more: object
) -> TranscriptFinal:
    fields: dict = {
        "stream_id": STREAM_ID,
        "session_id": SESSION,
        "index": utterance + 1,
        "utterance": utterance,
        "start_s": start / 16e3,
        "end_s": end / 16e3,
        "speech_end_s": end / 16e3,
        "start_sample": start,
        "end_sample": end,
        "text": oracle.write([Piece(number, start, end)]),
        "source": Source("t", PARTITION, 100, 110),
    }
    return transcript_final(**(fields | more))


def event(kind: type[AnyEvent], index: int, **more: object) -> AnyEvent:
    return kind(stream_id=STREAM_ID, session_id=SESSION, index=index, time_ms=0, **more)


def ended(utterances: int) -> AnyEvent:
    more = {"reason": StreamEndReason.END, "audio_s": 1, "speech_s": 1, "gaps": 0}
    return event(StreamEnded, 99, utterances=utterances, **more)


STARTED = event(StreamStarted, 0, rate=16_000, channels=1, languages=())
FINALS = [final(0, 4_000, 42_000), final(1, 56_000, 92_000), final(2, 112_000, 152_000)]
CORRECT: list[AnyEvent] = [STARTED, *FINALS, ended(3)]


def logged(events: Sequence[AnyEvent]) -> list[LoggedEvent]:
    return [LoggedEvent(PARTITION, offset, 0.0, each) for offset, each in enumerate(events)]


def records(*labels: Label) -> list[LoggedRecord]:
    return [LoggedRecord(PARTITION, 100 + at, 0.0, label) for at, label in enumerate(labels)]


def sound(first: int, last: int) -> list[Label]:
    chunks = range(first, last)
    return [Label(RecordKind.SOUND, NUMBER, n * CHUNK, (n + 1) * CHUNK) for n in chunks]


def evidence(events: Sequence[AnyEvent] = CORRECT, **more: object) -> RunEvidence:
    fields: dict = {
        "streams": {NUMBER: STREAM},
        "records": records(*sound(0, 10)),
        "events": logged(events),
        "reread": logged(events),
        "dead_letters": [],
        "deleted": [],
        "progress": {PARTITION: PartitionProgress(110, 110, 110, {"accepted": 10})},
        "speech": {NUMBER: SPEECH},
        "texts_name_samples": True,
    }
    return RunEvidence(**(fields | more))
