from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.chaos.hidden_counters import find
from bench.chaos.recital import Item, recital, strays
from bench.chaos.takes import HEADER, Closing, Kind, Label, Plan, Script, Style
from bench.recordings import recordings
from consumer.codecs.decode import decode
from consumer.core.audio.samples import from_float
from consumer.core.streams.records import Partition, Record
from consumer.service import read_chunks
from evaluation.samples import SAMPLES
from schemas.audio import AudioDefaults
from schemas.errors import WireError

SCRIPT = Script([from_float(clip.samples) for clip in recordings(SAMPLES)], seed=1)


def plan(style: Style = Style.SEQ_START, **more: Any) -> Plan:
    told = {"closing": Closing.END, "channels": 1, "chunk": 1600, "mischief": 0.3}
    return Plan(5, "s", style, **(told | more))


def recited(plan: Plan, stop_after: int = 10**9) -> list[Item]:
    items: list[Item] = []
    for item in recital(SCRIPT, plan, lambda: len(items) >= stop_after):
        items.append(item)  # noqa: PERF402 - `stopped` looks at them meanwhile
    return items


def outcome(key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> str:
    record = Record(Partition("t", 0), 0, 0, key, value, tuple(headers))
    try:
        read_chunks(record, decode, AudioDefaults(), splits=False)
    except WireError as error:
        return error.reason
    return ""


def test_a_take_is_the_same_every_time() -> None:
    one, two = ([i.record for i in recited(plan())] for _ in range(2))
    assert one == two


@pytest.mark.parametrize("style", Style)
def test_records_are_what_their_labels_say(style: Style) -> None:
    items = recited(plan(style))
    sound = SCRIPT.sound(plan(style))
    for item in items:
        label = Label.decode(dict(item.record.headers)[HEADER])
        assert label == item.label
        assert outcome(*item.record) == (label.note if label.kind is Kind.BAD else "")
        if label.kind in {Kind.SOUND, Kind.REPEAT}:
            payload = np.frombuffer(item.record.value, np.int16)
            assert (payload == sound[label.start : label.end]).all()
            assert all(piece.take == 5 for piece in find(payload))


@pytest.mark.parametrize("channels", [1, 2])
def test_both_channels_say_the_same(channels: int) -> None:
    (first, *_) = recited(plan(channels=channels))
    payload = np.frombuffer(first.record.value, np.int16).reshape(-1, channels)
    assert payload.shape == (1600, channels)
    assert (payload == payload[:, :1]).all()


def test_all_kinds_of_mischief_come_up() -> None:
    labels = [item.label for item in recited(plan(mischief=0.5))]
    sounds = [label for label in labels if label.kind is Kind.SOUND]
    starts = [label.start for label in sounds]
    heard = set(starts)
    assert {label.kind for label in labels} == set(Kind) - {Kind.HOSTILE}
    assert any(label.note == "flush" for label in sounds)
    assert starts != sorted(starts)
    assert any(start not in heard for start in range(0, max(heard), 1600))
    assert len(heard) == len(starts)


def test_without_mischief_all_is_said_once_in_order() -> None:
    items = recited(plan(mischief=0))
    assert [i.label.kind for i in items[:-1]] == [Kind.SOUND] * (len(items) - 1)
    assert items[-1].label.kind is Kind.END
    assert sum(i.label.end - i.label.start for i in items) == len(SCRIPT.sound(plan()))


def test_a_take_that_is_stopped_ends_in_order() -> None:
    items = recited(plan(closing=Closing.RESTART, mischief=0), stop_after=7)
    assert [item.label.kind for item in items] == [Kind.SOUND] * 7 + [Kind.END]
    assert dict(items[-1].record.headers)["seq"] == b"7"
    assert items[-1].label.start == 7 * 1600 == int(dict(items[-1].record.headers)["start"])


@pytest.mark.parametrize("stop_after", range(10, 60))
def test_no_number_is_said_twice_but_by_repeats_wherever_it_is_stopped(stop_after: int) -> None:
    items = recited(plan(Style.SEQ_START, mischief=0.5), stop_after=stop_after)
    told = [item for item in items if item.label.kind is not Kind.REPEAT]
    numbers = [dict(item.record.headers).get("seq") for item in told]
    assert len(set(numbers)) == len(numbers)


def test_a_take_that_the_next_one_ends_says_nothing_of_an_end() -> None:
    assert all(i.label.kind is not Kind.END for i in recited(plan(closing=Closing.RESTART)))


def test_poison_lies_in_the_first_words() -> None:
    (poisoned,) = find(SCRIPT.sound(plan(poisoned=True)))
    (clean,) = find(SCRIPT.sound(plan()))
    assert poisoned.poisoned
    assert not clean.poisoned


def test_strays_are_refused_for_what_they_say() -> None:
    for stray, _ in zip(strays(), range(7), strict=False):
        assert outcome(stray.key, stray.value, stray.headers) == stray.label.note
