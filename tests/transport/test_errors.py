from __future__ import annotations

from transport.errors import first_error


def test_the_first_error_of_a_group_is_the_cause():
    cause = ValueError("first")
    group = ExceptionGroup("", [ExceptionGroup("", [cause]), ValueError("then")])
    assert first_error(group) is cause
    assert first_error(cause) is cause
