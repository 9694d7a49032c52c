from __future__ import annotations

from dataclasses import dataclass, fields

from transport.environment import read, setting, variable


@dataclass
class ExampleSettings:
    rate: int = setting(1, "Hz")
    share: float = setting(0.5, "of all")
    loud: bool = setting(default=False, help="or not")
    name: str = setting("", "of it")


def test_a_setting_has_a_help_text() -> None:
    assert [f.metadata["help"] for f in fields(ExampleSettings)] == [
        "Hz",
        "of all",
        "or not",
        "of it",
    ]


def test_given_values_override_the_environment() -> None:
    environ = {variable("rate"): " 8 ", variable("loud"): "Yes", variable("other"): "x"}
    assert read(ExampleSettings, environ, {"name": "a", "rate": "9"}) == (
        {"rate": 9, "loud": True, "name": "a"},
        [],
    )


def test_every_invalid_value_is_reported() -> None:
    _, problems = read(ExampleSettings, {}, {"rate": "1.5", "share": "inf", "loud": "maybe"})
    assert problems == [
        "STREAMSCRIBE_RATE='1.5': must be a whole number",
        "STREAMSCRIBE_SHARE='inf': must be a number",
        "STREAMSCRIBE_LOUD='maybe': must be true or false",
    ]
