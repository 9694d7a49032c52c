"""State records of earlier releases: the same bytes are written, and read back.

A reader that rejects them would halt every partition after an upgrade, so `golden/state-1.txt` must
not be regenerated. A line is key, tab, value.
"""

from __future__ import annotations

from pathlib import Path

from builders import PARTITION

from consumer.core.partition.commit import Commit
from consumer.core.partition.state import Arrivals, PartitionState, Tally
from consumer.core.streams.language import UNKNOWN, LanguageHold
from consumer.core.streams.state import RecordOrder, SessionState, StreamState
from consumer.kafka.state_records import decode_states, encode_states
from schemas.audio import StreamOptions, Task

GOLDEN = Path(__file__).parent / "golden" / "state-1.txt"
GROUP = "calls"

ORDER = RecordOrder(
    rate=8_000,
    channels=2,
    end=123_456,
    first_seq=5,
    first=(0xDEADBEEF, 400, 1_700_000_000_123),
    next_seq=17,
    last_samples=800,
    positioned=True,
    uncertain=True,
    over=False,
)
BARE_ORDER = RecordOrder(
    rate=16_000,
    channels=1,
    end=0,
    first_seq=None,
    first=(0, None, None),
    next_seq=None,
    last_samples=0,
    positioned=False,
    over=True,
)
SESSION = SessionState(
    session_id="b3-100",
    rate=8_000,
    channels=2,
    options=StreamOptions(
        languages=("zh-Hans", "en"),
        prompt="上海",
        hotwords='"Nanjing" Road',
        task=Task.TRANSLATE,
        words=True,
        partials=False,
        endpoint_ms=700,
    ),
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    cut=120_000,
    in_speech=True,
    origin=(119_200, 1_700_000_000_000.125),
    events=9,
    utterances=4,
    gaps=1,
    audio_samples=119_000,
    speech_samples=60_000,
    attempts=2,
    language=LanguageHold("zh", "yue"),
)
BARE_SESSION = SessionState(
    session_id="3-101",
    rate=16_000,
    channels=1,
    options=StreamOptions(),
    traceparent=None,
    cut=0,
    in_speech=False,
    origin=(0, 0.0),
    events=0,
    utterances=0,
    gaps=0,
    audio_samples=0,
    speech_samples=0,
    attempts=0,
    language=UNKNOWN,
)
FULL = PartitionState(
    next_offset=200,
    resume_offset=150,
    time_ms=1_700_000_000_999,
    clean=False,
    tally=Tally(accepted=180, duplicate=10, dead_letter=7, refused=3),
    arrivals=Arrivals(level=2.5, time_ms=1_700_000_000_900, letter_ms=1_700_000_000_800),
)
STREAMS: dict[str, StreamState | None] = {
    "call-7": StreamState(150, 160, 1_700_000_000_500, ORDER, SESSION, decided_offsets=(155, 158)),
    "desk": StreamState(None, 161, 0, BARE_ORDER, None),
    "desk.0": StreamState(162, 170, 7, BARE_ORDER, BARE_SESSION),
    "gone": None,
    "new": StreamState(None, 0, 0, None, None),
}
PARTITIONS = (
    FULL,
    PartitionState(0, 0),
    PartitionState(1, 1, 5, clean=True, arrivals=Arrivals()),
)


def commit(state: PartitionState) -> Commit:
    return Commit(PARTITION, 1, (), (), state, tuple(STREAMS.items()), (), 0, ())


def encoded() -> list[tuple[bytes, bytes | None]]:
    return [record for state in PARTITIONS for record in encode_states(GROUP, commit(state))]


def golden() -> list[tuple[bytes, bytes | None]]:
    pairs = [line.split(b"\t") for line in GOLDEN.read_bytes().splitlines()]
    return [(key, value or None) for key, value in pairs]


def test_states_are_written_as_the_golden_bytes() -> None:
    assert encoded() == golden()


def test_the_golden_bytes_are_read_as_the_states() -> None:
    each = len(STREAMS) + 1
    for index, state in enumerate(PARTITIONS):
        records = golden()[index * each : (index + 1) * each]
        kept = {name: stream for name, stream in STREAMS.items() if stream is not None}
        assert decode_states(GROUP, PARTITION.topic, records) == (state, kept)
