"""The number of examples of property tests, multiplied in a nightly run."""

from __future__ import annotations

import os

from hypothesis import settings


def examples(usual: int) -> settings:
    """Return settings with `usual` examples, times STREAMSCRIBE_EXAMPLES."""
    times = int(os.environ.get("STREAMSCRIBE_EXAMPLES", "1"))
    return settings(max_examples=usual * times, deadline=None)
