from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.naming import stream_ids
from schemas.topics import valid_stream_id


@pytest.mark.parametrize(
    ("stems", "prefix", "ids"),
    [
        (["en_jfk"], None, ["en_jfk-1f"]),
        (["en_jfk"], "call-1", ["call-1"]),
        (["a", "b"], "demo", ["demo-a", "demo-b"]),
        (["a", "a", "a"], "demo", ["demo-a", "demo-a-2", "demo-a-3"]),
        (["my talk (1)"], None, ["my-talk-1-1f"]),
        (["会议"], None, ["audio-1f"]),
    ],
)
def test_ids_are_derived_from_the_file_names(
    stems: list[str], prefix: str | None, ids: list[str]
) -> None:
    assert stream_ids(stems, prefix, "1f") == ids


@given(
    st.lists(st.text(max_size=200) | st.sampled_from(["a", "a-2", "b" * 300]), min_size=1),
    st.none() | st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True),
)
def test_ids_are_valid_and_distinct(stems: list[str], prefix: str | None) -> None:
    ids = stream_ids(stems, prefix, "1f2e3d")
    assert all(map(valid_stream_id, ids))
    assert len(set(ids)) == len(stems)
