"""How hard properties are tried: little in every run, much in a nightly one."""

from __future__ import annotations

import os

from hypothesis import settings


def examples(usual: int) -> settings:
    """So many, times STREAMSCRIBE_EXAMPLES."""
    times = int(os.environ.get("STREAMSCRIBE_EXAMPLES", "1"))
    return settings(max_examples=usual * times, deadline=None)
