"""Records that no publisher should send, seeded: what a public topic has to survive.

    refused    each breaks one rule of the wire: row 11 of the fault matrix
    untidy     a stream of three seconds, out of order: duplicates, gaps, swaps, restarts, retries,
               another format in the middle: rows 11 and 12
    mutant     a right record with bits flipped, cut short, or with another record's headers
    flood      a stream of one record, under an id that nobody has had

Every one goes under an id of its own kind (`hostile-...`), or under none: what a right stream's own
publisher sends under its id is that stream, and nobody could say what is right then. Who may send
under whose id, Kafka decides (docs/security.md). All share partitions, workers and caps with the
right streams, which is where harm could be done. Batches that nobody can read (row 13) are thrown
by `bench.chaos.batch_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Final, NamedTuple, TypeAlias

from bench.chaos.recital import Stray, recital, strays
from bench.chaos.takes import HEADER, Closing, Kind, Label, Plan, Script, Style
from bench.fuzz.mutation import mutated
from bench.fuzz.targets import TARGETS
from consumer.core.audio.utterance import WHISPER_RATE
from schemas.audio import MAX_HEADER_BYTES, MAX_RECORD_BYTES
from schemas.codec import WireRecord
from schemas.errors import Reason

_MUTANTS: Final = 40  # ids of theirs
_CODECS: Final = ("wav", "flac", "mp3", "opus", "vorbis")
_LARGE: Final = 64 << 10  # bytes: what is larger is sent seldom, or a long run moves gigabytes
_LARGE_SHARE: Final = 0.005
_TRIED: Final = 48  # records of a take that a stranger's headers are taken from
_UNTIDY_CHUNK: Final = 1600  # samples

Headers: TypeAlias = list[tuple[str, bytes]]


class Hostile(NamedTuple):
    """One record; its label says which reason it has to be refused for, if any is certain."""

    kind: str
    key: bytes | None
    value: bytes
    headers: Headers


class _Row(NamedTuple):
    """A record that breaks one rule, whatever else is true of it."""

    reason: Reason
    value: bytes
    headers: Headers


def hostile(script: Script, seed: int) -> Iterator[Hostile]:
    """One after the other, for ever; the same for the same seed."""
    rng = Random(f"{seed}/hostile")
    sources = [_refused(rng), _untidy(script, rng), _mutants(script, rng), _flood()]
    large = _large()
    while True:
        chosen = large if rng.random() < _LARGE_SHARE else rng.choice(sources)
        yield next(chosen)


def _labelled(kind: str, key: bytes | None, value: bytes, headers: Headers, note: str) -> Hostile:
    label = Label(Kind.HOSTILE, note=note)
    return Hostile(kind, key, value, [*headers, (HEADER, label.encode())])


def _rows() -> list[_Row]:
    flac, long_name = TARGETS["flac"].corpus()[0], b"x" * (MAX_HEADER_BYTES + 1)
    sound = bytes(320)
    return [
        _Row(Reason.BAD_HEADER, sound, [("seq", b"-1")]),
        _Row(Reason.BAD_HEADER, sound, [("start", b"\n\x1b[31m9")]),
        _Row(Reason.BAD_HEADER, sound, [("end", b"yes")]),
        _Row(Reason.DUPLICATE_HEADER, sound, [("rate", b"16000"), ("rate", b"8000")]),
        _Row(Reason.HEADERS_TOO_LARGE, sound, [("x", long_name)]),
        _Row(Reason.UNKNOWN_CODEC, sound, [("codec", b"\xff\xfe")]),
        _Row(Reason.UNKNOWN_LANGUAGE, sound, [("language", b"klingon\n")]),
        _Row(Reason.RATE_OUT_OF_RANGE, sound, [("rate", b"4000000000")]),
        _Row(Reason.CHANNELS_OUT_OF_RANGE, sound, [("channels", b"64")]),
        _Row(Reason.BAD_PAYLOAD, sound[:-1], []),
        _Row(Reason.BAD_PAYLOAD, flac[: len(flac) // 2], [("codec", b"flac")]),
        _Row(Reason.FORMAT_CONTRADICTION, flac, [("codec", b"wav")]),
        _Row(Reason.FORMAT_CONTRADICTION, flac, [("codec", b"flac"), ("rate", b"44100")]),
    ]


def _refused(rng: Random) -> Iterator[Hostile]:
    rows, some = _rows(), (stray for stray in strays() if len(stray.value) < _LARGE)
    for number in count():
        if rng.random() < 0.3:
            yield _of_stray(next(some))
        else:
            row = rng.choice(rows)
            key = b"hostile-refused-%d" % (number % _MUTANTS)
            yield _labelled("refused", key, row.value, row.headers, row.reason)


def _large() -> Iterator[Hostile]:
    """Of a mebibyte and more, before and behind the decoder's look."""
    yield from (_of_stray(stray) for stray in strays() if len(stray.value) >= MAX_RECORD_BYTES)


def _of_stray(stray: Stray) -> Hostile:
    headers = [(name, value) for name, value in stray.headers if name != HEADER]
    key = stray.key if stray.key is None or b"/" in stray.key else b"hostile-" + stray.key
    return _labelled("refused", key, stray.value, headers, stray.label.note)


def _take(script: Script, name: str, style: Style = Style.SEQ_START) -> list[WireRecord]:
    """The first records of a right stream."""
    plan = Plan(0, name, style, Closing.END, channels=1, chunk=_UNTIDY_CHUNK, mischief=0.0)
    items = zip(range(_TRIED), recital(script, plan, lambda: False), strict=False)
    return [_without_label(item.record) for _, item in items]


def _without_label(record: WireRecord) -> WireRecord:
    return record._replace(headers=[each for each in record.headers if each[0] != HEADER])


def _untidy(script: Script, rng: Random) -> Iterator[Hostile]:
    right = _take(script, "hostile", Style.SEQ)
    for number in count():
        key = b"hostile-untidy-%d" % number
        for record in _disorder(right[:30], rng):
            yield _labelled("untidy", key, record.value, record.headers, "")


def _disorder(records: list[WireRecord], rng: Random) -> list[WireRecord]:
    """One to four things that go wrong on the way."""
    made = list(records)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(1, len(made) - 3)
        rng.choice(_DISORDERS)(made, at)
    return made


def _repeat(made: list[WireRecord], at: int) -> None:
    made[at:at] = made[at - 1 : at + 1]


def _drop(made: list[WireRecord], at: int) -> None:
    del made[at : at + 2]


def _swap(made: list[WireRecord], at: int) -> None:
    made[at], made[at + 1] = made[at + 1], made[at]


def _restart(made: list[WireRecord], at: int) -> None:
    """From the first number on, with other sound."""
    other = [record._replace(value=record.value[::-1]) for record in made[:at]]
    made[at:] = other[: len(made) - at] + made[at + len(other) :]


def _other_format(made: list[WireRecord], at: int) -> None:
    for index in range(at, len(made)):
        headers = [each for each in made[index].headers if each[0] != "rate"]
        made[index] = made[index]._replace(headers=[*headers, ("rate", b"8000")])


_DISORDERS: Final[tuple[Callable[[list[WireRecord], int], None], ...]] = (
    _repeat,
    _drop,
    _swap,
    _restart,
    _other_format,
)


def _mutants(script: Script, rng: Random) -> Iterator[Hostile]:
    right = _take(script, "hostile")
    files = {name: TARGETS[name].corpus() for name in _CODECS}
    while True:
        key = b"hostile-mutant-%d" % rng.randrange(_MUTANTS)
        value, headers = rng.choice((_other_bytes, _other_headers, _other_file))(rng, right, files)
        yield _labelled("mutant", key, value, headers, "")


def _other_bytes(
    rng: Random, right: list[WireRecord], _: dict[str, list[bytes]]
) -> tuple[bytes, Headers]:
    record = rng.choice(right)
    return mutated(rng, [record.value], _LARGE), list(record.headers)


def _other_headers(
    rng: Random, right: list[WireRecord], _: dict[str, list[bytes]]
) -> tuple[bytes, Headers]:
    """Some of its own, some of another's, one of them spoilt."""
    one, other = rng.sample(right, 2)
    headers = [rng.choice(pair) for pair in zip(one.headers, other.headers, strict=False)]
    at = rng.randrange(len(headers))
    name, value = headers[at]
    headers[at] = (name, mutated(rng, [value], _UNTIDY_CHUNK))
    return one.value, headers


def _other_file(
    rng: Random, _: list[WireRecord], files: dict[str, list[bytes]]
) -> tuple[bytes, Headers]:
    codec = rng.choice([*files])
    return mutated(rng, files[codec], _LARGE), [("codec", codec.encode())]


def _flood() -> Iterator[Hostile]:
    sound = bytes(WHISPER_RATE // 50 * 2)  # 20 ms
    for number in count():
        yield _labelled("flood", b"hostile-flood-%d" % number, sound, [], "")
