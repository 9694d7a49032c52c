from __future__ import annotations

from dataclasses import dataclass, fields

from transport.environment import read, setting, variable


@dataclass
class Knobs:
    rate: int = setting(1, "Hz")
    share: float = setting(0.5, "of all")
    loud: bool = setting(default=False, help="or not")
    name: str = setting("", "of it")


def test_a_knob_says_what_it_is_for() -> None:
    assert [f.metadata["help"] for f in fields(Knobs)] == ["Hz", "of all", "or not", "of it"]


def test_texts_become_values_and_given_ones_come_first() -> None:
    environ = {variable("rate"): " 8 ", variable("loud"): "Yes", variable("other"): "x"}
    assert read(Knobs, environ, {"name": "a", "rate": "9"}) == (
        {"rate": 9, "loud": True, "name": "a"},
        [],
    )


def test_every_text_that_cannot_be_read_is_told() -> None:
    _, problems = read(Knobs, {}, {"rate": "1.5", "share": "inf", "loud": "maybe"})
    assert problems == [
        "STREAMSCRIBE_RATE='1.5': must be a whole number",
        "STREAMSCRIBE_SHARE='inf': must be a number",
        "STREAMSCRIBE_LOUD='maybe': must be true or false",
    ]
