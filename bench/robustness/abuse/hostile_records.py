"""Records that no publisher should send, seeded: what a public topic has to survive.

    refused    breaks one rule of the wire: row 11 of the fault matrix
    untidy     of a stream of three seconds, out of order: duplicates, gaps, swaps, restarts,
               another format in the middle: rows 11 and 12
    mutant     a right record with bits flipped, cut short, or with another record's headers
    flood      a stream of one record, with a new id

Each has an id of its own kind (`hostile-...`), or none: records under a right stream's id would be
part of that stream, and no consumer could tell them apart. Kafka decides who may write under which
id (docs/security.md). They share partitions, workers and limits with the right streams. Batches
that cannot be read (row 13) are sent by `bench.robustness.chaos.batch_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice
from random import Random
from typing import Final, NamedTuple, TypeAlias

from bench.robustness.chaos.record_sequence import InvalidRecord, invalid_records, record_sequence
from bench.robustness.chaos.test_streams import (
    HEADER,
    Closing,
    Label,
    OrderHeaders,
    RecordKind,
    StreamScript,
    TestStream,
)
from bench.robustness.fuzz.mutation import mutated
from bench.robustness.fuzz.targets import TARGETS
from consumer.core.audio.utterance import WHISPER_RATE
from schemas.audio import MAX_HEADER_BYTES, MAX_RECORD_BYTES
from schemas.codec import WireRecord
from schemas.errors import Reason

_IDS: Final = 40  # of refused records, and of mutants
_CODECS: Final = ("wav", "flac", "mp3", "opus", "vorbis")
_LARGE: Final = 64 << 10  # bytes; larger records are rare, or a long run would move gigabytes
_LARGE_SHARE: Final = 0.005
_RIGHT_RECORDS: Final = 48  # of a stream, from which mutants are made
_UNTIDY_RECORDS: Final = 30
_CHUNK: Final = 1600  # samples
_SOUND: Final = bytes(320)

Headers: TypeAlias = list[tuple[str, bytes]]


class HostileRecord(NamedTuple):
    """One record; its label names the reason of its dead letter, where that is certain."""

    kind: str
    key: bytes | None
    value: bytes
    headers: Headers


def hostile_records(script: StreamScript, seed: int) -> Iterator[HostileRecord]:
    """Yield records endlessly, the same for the same seed."""
    rng = Random(f"{seed}/hostile")
    sources = [_refused(rng), _untidy(script, rng), _mutants(script, rng), _flood()]
    large = _invalid(lambda record: len(record.value) >= MAX_RECORD_BYTES)
    while True:
        yield next(large if rng.random() < _LARGE_SHARE else rng.choice(sources))


def _labelled(
    kind: str, key: bytes | None, value: bytes, headers: Headers, reason: str = ""
) -> HostileRecord:
    label = Label(RecordKind.HOSTILE, note=reason)
    return HostileRecord(kind, key, value, [*headers, (HEADER, label.encode())])


def _rule_breakers() -> list[tuple[Reason, bytes, Headers]]:
    """Return records that break one rule each: reason, value, headers."""
    flac = TARGETS["flac"].corpus()[0]
    return [
        (Reason.BAD_HEADER, _SOUND, [("seq", b"-1")]),
        (Reason.BAD_HEADER, _SOUND, [("start", b"\n\x1b[31m9")]),
        (Reason.BAD_HEADER, _SOUND, [("end", b"yes")]),
        (Reason.DUPLICATE_HEADER, _SOUND, [("rate", b"16000"), ("rate", b"8000")]),
        (Reason.HEADERS_TOO_LARGE, _SOUND, [("x", b"x" * (MAX_HEADER_BYTES + 1))]),
        (Reason.UNKNOWN_CODEC, _SOUND, [("codec", b"\xff\xfe")]),
        (Reason.UNKNOWN_LANGUAGE, _SOUND, [("language", b"klingon\n")]),
        (Reason.RATE_OUT_OF_RANGE, _SOUND, [("rate", b"4000000000")]),
        (Reason.CHANNELS_OUT_OF_RANGE, _SOUND, [("channels", b"64")]),
        (Reason.BAD_PAYLOAD, _SOUND[:-1], []),
        (Reason.BAD_PAYLOAD, flac[: len(flac) // 2], [("codec", b"flac")]),
        (Reason.FORMAT_CONTRADICTION, flac, [("codec", b"wav")]),
        (Reason.FORMAT_CONTRADICTION, flac, [("codec", b"flac"), ("rate", b"44100")]),
    ]


def _refused(rng: Random) -> Iterator[HostileRecord]:
    rules, invalid = _rule_breakers(), _invalid(lambda record: len(record.value) < _LARGE)
    for number in count():
        if rng.random() < 0.3:
            yield next(invalid)
        else:
            reason, value, headers = rng.choice(rules)
            yield _labelled(
                "refused", b"hostile-refused-%d" % (number % _IDS), value, headers, reason
            )


def _invalid(chosen: Callable[[InvalidRecord], bool]) -> Iterator[HostileRecord]:
    for record in filter(chosen, invalid_records()):
        key = record.key
        if key is not None and b"/" not in key:
            key = b"hostile-" + key
        yield _labelled("refused", key, record.value, record.headers, record.reason)


def _right_records(script: StreamScript, headers: OrderHeaders) -> list[WireRecord]:
    """Return the first records of a right stream, without labels."""
    stream = TestStream(0, "hostile", headers, Closing.END, 1, _CHUNK, fault_rate=0.0)
    records = islice(record_sequence(script, stream, lambda: False), _RIGHT_RECORDS)
    return [
        each.record._replace(headers=[h for h in each.record.headers if h[0] != HEADER])
        for each in records
    ]


def _untidy(script: StreamScript, rng: Random) -> Iterator[HostileRecord]:
    right = _right_records(script, OrderHeaders.SEQ)[:_UNTIDY_RECORDS]
    for number in count():
        made = list(right)
        for _ in range(rng.randint(1, 4)):
            rng.choice(_DISORDERS)(made, rng.randrange(1, len(made) - 3))
        for record in made:
            yield _labelled("untidy", b"hostile-untidy-%d" % number, record.value, record.headers)


def _repeat(made: list[WireRecord], at: int) -> None:
    made[at:at] = made[at - 1 : at + 1]


def _drop(made: list[WireRecord], at: int) -> None:
    del made[at : at + 2]


def _swap(made: list[WireRecord], at: int) -> None:
    made[at], made[at + 1] = made[at + 1], made[at]


def _restart(made: list[WireRecord], at: int) -> None:
    """Begin again with the first number, with other sound."""
    other = [record._replace(value=record.value[::-1]) for record in made[:at]]
    made[at:] = other[: len(made) - at] + made[at + len(other) :]


def _other_format(made: list[WireRecord], at: int) -> None:
    for index in range(at, len(made)):
        headers = [each for each in made[index].headers if each[0] != "rate"]
        made[index] = made[index]._replace(headers=[*headers, ("rate", b"8000")])


_DISORDERS: Final = (_repeat, _drop, _swap, _restart, _other_format)


def _mutants(script: StreamScript, rng: Random) -> Iterator[HostileRecord]:
    right = _right_records(script, OrderHeaders.SEQ_START)
    files = {codec: TARGETS[codec].corpus() for codec in _CODECS}
    kinds: tuple[Callable[[], tuple[bytes, Headers]], ...] = (
        lambda: _other_bytes(rng, right),
        lambda: _other_headers(rng, right),
        lambda: _other_file(rng, files),
    )
    while True:
        key = b"hostile-mutant-%d" % rng.randrange(_IDS)
        yield _labelled("mutant", key, *rng.choice(kinds)())


def _other_bytes(rng: Random, right: list[WireRecord]) -> tuple[bytes, Headers]:
    record = rng.choice(right)
    return mutated(rng, [record.value], _LARGE), list(record.headers)


def _other_headers(rng: Random, right: list[WireRecord]) -> tuple[bytes, Headers]:
    """Return a record with some headers of its own, some of another's, one of them spoilt."""
    one, other = rng.sample(right, 2)
    headers = [rng.choice(pair) for pair in zip(one.headers, other.headers, strict=False)]
    at = rng.randrange(len(headers))
    name, value = headers[at]
    headers[at] = (name, mutated(rng, [value], _CHUNK))
    return one.value, headers


def _other_file(rng: Random, files: dict[str, list[bytes]]) -> tuple[bytes, Headers]:
    codec = rng.choice([*files])
    return mutated(rng, files[codec], _LARGE), [("codec", codec.encode())]


def _flood() -> Iterator[HostileRecord]:
    for number in count():
        yield _labelled("flood", b"hostile-flood-%d" % number, bytes(WHISPER_RATE // 50 * 2), [])
