from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producer.message_order import MessageOrder


def ordered(numbers: list[int], window: int = 5) -> list[int]:
    order: MessageOrder[int] = MessageOrder(1, window)
    return [each for number in numbers for each in order.push(number, number)] + order.rest()


@given(st.data(), st.integers(1, 40), st.integers(0, 6))
def test_messages_that_are_moved_within_the_window_are_put_in_order(
    data: st.DataObject, count: int, window: int
) -> None:
    delays = [data.draw(st.integers(0, window)) for _ in range(count)]
    arrival = sorted(range(count), key=lambda index: (index + delays[index], index))
    assert ordered([index + 1 for index in arrival], window) == list(range(1, count + 1))


@given(st.lists(st.integers(0, 30)), st.integers(0, 6))
def test_each_number_comes_once_and_in_order(numbers: list[int], window: int) -> None:
    result = ordered(numbers, window)
    assert result == sorted(set(result))
    assert set(result) <= set(numbers)


def test_a_missing_message_is_given_up_when_the_window_is_full() -> None:
    order: MessageOrder[str] = MessageOrder(1)
    assert order.push(1, "a") == ["a"]
    held = [order.push(number, f"m{number}") for number in range(3, 8)]
    assert held == [[]] * 5
    assert order.push(8, "m8") == [f"m{number}" for number in range(3, 9)]
    assert order.push(2, "too late") == []


def test_a_repeat_is_dropped() -> None:
    assert ordered([1, 1, 3, 3, 2, 2, 3]) == [1, 2, 3]


def test_what_is_held_back_at_the_end_is_returned() -> None:
    assert ordered([1, 4, 3]) == [1, 3, 4]
