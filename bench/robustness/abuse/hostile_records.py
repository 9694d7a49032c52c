"""Records that no publisher should send, seeded: what a public topic has to survive.

    refused    breaks one rule of the wire: row 11 of the fault matrix
    untidy     of a stream of three seconds, out of order: duplicates, gaps, swaps, restarts,
               another format in the middle: rows 11 and 12
    mutant     a right record with bits flipped, cut short, or with another record's headers
    text       a short stream whose first record has a hostile text in one of the text headers
    flood      a stream of one record, with a new id
    fault      a right stream for which one stage of the bench's worker raises an exception

Each has an id of its own kind (`hostile-...`), or none: records under a right stream's id would be
part of that stream, and no consumer could distinguish them. Kafka decides who may write under which
id (docs/security.md). They share partitions, workers and limits with the right streams. Batches
that cannot be read (row 13) are sent by `bench.robustness.chaos.log_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice, product
from random import Random
from typing import Final

from bench.robustness.chaos.record_sequence import invalid_records, record_sequence
from bench.robustness.chaos.test_streams import (
    Headers,
    Label,
    LabelledRecord,
    OrderHeaders,
    RecordKind,
    StreamScript,
    TestStream,
)
from bench.robustness.fuzz.mutation import mutated
from bench.robustness.fuzz.targets import TARGETS
from bench.robustness.stage_faults import FaultStage
from consumer.core.audio.utterance import WHISPER_RATE
from schemas.audio import MAX_HEADER_BYTES, MAX_RECORD_BYTES
from schemas.errors import Reason

_IDS: Final = 40  # of refused records, and of mutants
_CODECS: Final = ("wav", "flac", "mp3", "opus", "vorbis")
_LARGE: Final = 64 << 10  # bytes; larger records are rare, or a long run would move gigabytes
_LARGE_SHARE: Final = 0.005
_RIGHT_RECORDS: Final = 48  # of a stream, from which mutants are made
_UNTIDY_RECORDS: Final = 30
_MAX_HEADER: Final = 1600  # bytes of a spoilt one
_SOUND: Final = bytes(320)
_FAULT_SHARE: Final = 0.003  # each opens its partition again
_FAULT_RECORDS: Final = 48  # of a stream for which a stage raises: speech begins after some
_TEXT_RECORDS: Final = 6  # of a stream with a hostile text
_TEXT_HEADERS: Final = ("prompt", "hotwords", "language", "traceparent", "run")
_HOSTILE_TEXTS: Final = (
    b"Glossary: <|endoftext|> and <|en|><|startofprev|>",
    b"\x1b[2J\r\n\x07",
    "\u202eright to left\u2066".encode(),
    b"\xed\xa0\x80 a lone surrogate",
    b"NUL \0 inside",
    ("e" + "\u0301" * 999).encode(),
)


def hostile_records(script: StreamScript, seed: int) -> Iterator[LabelledRecord]:
    """Yield records endlessly, the same for the same seed.

    A label names the reason of the dead letter, where that is certain.
    """
    rng = Random(f"{seed}/hostile")
    sources = [
        _refused(rng),
        _untidy(script, rng),
        _mutants(script, rng),
        _texts(script, rng),
        _flood(),
    ]
    large = _invalid(lambda record: len(record.value) >= MAX_RECORD_BYTES)
    faults = _faults(script)
    # Before the flood, which would have their streams rejected.
    yield from islice(faults, len(FaultStage) * _FAULT_RECORDS)
    rare = [(_LARGE_SHARE, large), (_FAULT_SHARE, faults)]
    while True:
        chosen = [source for share, source in rare if rng.random() < share]
        yield next(chosen[0] if chosen else rng.choice(sources))


def is_faulty(stage: FaultStage, stream_id: str) -> bool:
    """Return whether the stage raises an exception for the stream."""
    return stream_id.startswith(f"hostile-fault-{stage}-")


def _hostile(key: bytes | None, value: bytes, headers: Headers, reason: str = "") -> LabelledRecord:
    return LabelledRecord(Label(RecordKind.HOSTILE, note=reason), key, value, headers)


def _rule_breakers() -> list[tuple[bytes, Headers, Reason]]:
    """Return records that break one rule each: value, headers, reason."""
    flac = TARGETS["flac"].corpus()[0]
    return [
        (_SOUND, [("seq", b"-1")], Reason.BAD_HEADER),
        (_SOUND, [("start", b"\n\x1b[31m9")], Reason.BAD_HEADER),
        (_SOUND, [("end", b"yes")], Reason.BAD_HEADER),
        (_SOUND, [("rate", b"16000"), ("rate", b"8000")], Reason.DUPLICATE_HEADER),
        (_SOUND, [("x", b"x" * (MAX_HEADER_BYTES + 1))], Reason.HEADERS_TOO_LARGE),
        (_SOUND, [("codec", b"\xff\xfe")], Reason.UNKNOWN_CODEC),
        (_SOUND, [("rate", b"4000000000")], Reason.RATE_OUT_OF_RANGE),
        (_SOUND, [("channels", b"64")], Reason.CHANNELS_OUT_OF_RANGE),
        (_SOUND[:-1], [], Reason.BAD_PAYLOAD),
        (flac[: len(flac) // 2], [("codec", b"flac")], Reason.BAD_PAYLOAD),
        (flac, [("codec", b"wav")], Reason.FORMAT_CONTRADICTION),
        (flac, [("codec", b"flac"), ("rate", b"44100")], Reason.FORMAT_CONTRADICTION),
    ]


def _refused(rng: Random) -> Iterator[LabelledRecord]:
    rules, invalid = _rule_breakers(), _invalid(lambda record: len(record.value) < _LARGE)
    for number in count():
        if rng.random() < 0.3:
            yield next(invalid)
        else:
            yield _hostile(b"hostile-refused-%d" % (number % _IDS), *rng.choice(rules))


def _invalid(chosen: Callable[[LabelledRecord], bool]) -> Iterator[LabelledRecord]:
    for label, key, value, headers in filter(chosen, invalid_records()):
        if key is not None and b"/" not in key:
            key = b"hostile-" + key  # noqa: PLW2901 - an id
        yield _hostile(key, value, headers, label.note)


def _right_records(script: StreamScript, headers: OrderHeaders) -> list[LabelledRecord]:
    """Return the first records of a right stream."""
    return [*islice(record_sequence(script, TestStream(0, "hostile", headers)), _RIGHT_RECORDS)]


def _untidy(script: StreamScript, rng: Random) -> Iterator[LabelledRecord]:
    right = _right_records(script, OrderHeaders.SEQ)[:_UNTIDY_RECORDS]
    for number in count():
        made = list(right)
        for _ in range(rng.randint(1, 4)):
            _disorder(made, rng.randrange(1, len(made) - 3), rng)
        for record in made:
            yield _hostile(b"hostile-untidy-%d" % number, record.value, record.headers)


def _disorder(made: list[LabelledRecord], at: int, rng: Random) -> None:
    match rng.choice(("repeat", "drop", "swap", "restart", "other format")):
        case "repeat":
            made[at:at] = made[at - 1 : at + 1]
        case "drop":
            del made[at : at + 2]
        case "swap":
            made[at], made[at + 1] = made[at + 1], made[at]
        case "restart":  # with the first number, and other sound
            other = [record._replace(value=record.value[::-1]) for record in made[:at]]
            made[at : 2 * at] = other[: len(made) - at]
        case _:
            made[at:] = [_at_other_rate(record) for record in made[at:]]


def _texts(script: StreamScript, rng: Random) -> Iterator[LabelledRecord]:
    first, *others = _right_records(script, OrderHeaders.SEQ)[:_TEXT_RECORDS]
    for number in count():
        text = (rng.choice(_TEXT_HEADERS), rng.choice(_HOSTILE_TEXTS))
        begin = first._replace(headers=[*first.headers, text])
        for record in (begin, *others):
            yield _hostile(b"hostile-text-%d" % number, record.value, record.headers)


def _faults(script: StreamScript) -> Iterator[LabelledRecord]:
    """Yield streams for which the stages raise, one of each stage at a time, to their ends."""
    *records, last = _right_records(script, OrderHeaders.SEQ)[:_FAULT_RECORDS]
    records.append(last._replace(headers=[*last.headers, ("end", b"1")]))
    for number in count():
        for record, stage in product(records, FaultStage):
            headers = [*record.headers, ("partials", b"1")]
            key = f"hostile-fault-{stage}-{number}".encode()
            label = Label(RecordKind.FAULT, note=stage)
            yield LabelledRecord(label, key, record.value, headers)


def _at_other_rate(record: LabelledRecord) -> LabelledRecord:
    headers = [each for each in record.headers if each[0] != "rate"]
    return record._replace(headers=[*headers, ("rate", b"8000")])


def _mutants(script: StreamScript, rng: Random) -> Iterator[LabelledRecord]:
    right = _right_records(script, OrderHeaders.SEQ_START)
    files = {codec: TARGETS[codec].corpus() for codec in _CODECS}
    while True:
        value, headers = _mutant(right, files, rng)
        yield _hostile(b"hostile-mutant-%d" % rng.randrange(_IDS), value, headers)


def _mutant(
    right: list[LabelledRecord], files: dict[str, list[bytes]], rng: Random
) -> tuple[bytes, Headers]:
    """Return a record with other bytes or other headers, or a file of another kind."""
    one, other = rng.sample(right, 2)
    match rng.choice(("bytes", "headers", "file")):
        case "bytes":
            return mutated(rng, [one.value], _LARGE), one.headers
        case "headers":  # some of its own, some of another's, one of them spoilt
            headers = [rng.choice(pair) for pair in zip(one.headers, other.headers, strict=False)]
            at = rng.randrange(len(headers))
            name, value = headers[at]
            headers[at] = (name, mutated(rng, [value], _MAX_HEADER))
            return one.value, headers
    codec = rng.choice(_CODECS)
    return mutated(rng, files[codec], _LARGE), [("codec", codec.encode())]


def _flood() -> Iterator[LabelledRecord]:
    for number in count():
        yield _hostile(b"hostile-flood-%d" % number, bytes(WHISPER_RATE // 50 * 2), [])
