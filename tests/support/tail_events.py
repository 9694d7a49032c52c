"""What two streams publish, for the captions of `streamscribe tail`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from example_events import transcript_final

from schemas.transcript import (
    AnyEvent,
    Quality,
    StreamEnded,
    StreamEndReason,
    StreamGap,
    TranscriptFinal,
    TranscriptPartial,
    UtteranceStarted,
    Verdict,
    Word,
)

TODAY_MS = int(datetime.now().astimezone().replace(hour=9, minute=41, second=7).timestamp()) * 1_000
ENGLISH = (
    ("And so my", " fellow", "And so, my fellow Americans, ask not!", "fellow"),
    ("Hi, I'd like to buy", " a chrome", "Hi, I'd like to buy a Chromecast.", "Chromecast."),
    (
        "Ask what you can do for your country, and the invention of movable metal letters may",
        " justly be",
    ),
)
CHINESE = (
    ("现在这个部门", "还在", "现在这个部门还在研究月球探测器。", "部门"),
    ("他说明", "现在我们", "他说明现在我们很有危机感。", "危机感"),
    ("还有一种方式就是针对某一群体或行业进行补助那么直接发放现金会是最有效的", "方式"),
)


def event(kind: type[AnyEvent], **fields: Any) -> Any:
    """Return an event of call-7, unless the fields name another stream."""
    whole = {"stream_id": "call-7", "session_id": "0-0", "index": 0, "time_ms": TODAY_MS}
    return kind(**(whole | fields))


def started(**fields: Any) -> UtteranceStarted:
    return event(UtteranceStarted, **({"utterance": 0, "start_s": 0.0} | fields))


def partial(
    stable: str, tentative: str = "", *, utterance: int = 0, revision: int = 1, **fields: Any
) -> TranscriptPartial:
    texts = {"stable_text": stable, "tentative_text": tentative}
    numbers = {"utterance": utterance, "revision": revision, "start_s": 0.0, "end_s": 1.0}
    return event(TranscriptPartial, **({"language": "en"} | numbers | texts | fields))


def final(
    text: str, improbable: str = "", *, verdict: Verdict = Verdict.ACCEPT, **fields: Any
) -> TranscriptFinal:
    words = (Word(improbable, 0.0, 1.0, 0.3),) if improbable else None
    quality = Quality(-0.2, 0.01, 1.1, verdict=verdict, reasons=())
    whole = {"stream_id": "call-7", "time_ms": TODAY_MS, "text": text, "words": words}
    return transcript_final(**(whole | {"quality": quality, "speech_end_s": 0.0} | fields))


def conversation(language: str) -> tuple[list[AnyEvent], list[AnyEvent]]:
    """Return the events until both streams are in an utterance, and those after."""
    first, second, third = ENGLISH if language == "en" else CHINESE
    tag = {"language": language}
    speaking = [
        started(),
        partial(first[0], first[1], **tag),
        started(stream_id="meeting-room-1:left"),
        final(first[2], first[3], **tag),
        event(StreamGap, start_sample=0, end_sample=40_000, rate=16_000, estimated=True),
        partial(second[0], second[1], stream_id="meeting-room-1:left", **tag),
        partial(third[0], third[1], utterance=1, **tag),
    ]
    after = [
        final(
            second[2],
            second[3],
            verdict=Verdict.REVIEW,
            stream_id="meeting-room-1:left",
            **tag,
        ),
        final(third[0] + third[1], utterance=1, **tag),
        event(
            StreamEnded,
            reason=StreamEndReason.END,
            utterances=2,
            audio_s=11.0,
            speech_s=9.5,
            gaps=1,
        ),
    ]
    return speaking, after
