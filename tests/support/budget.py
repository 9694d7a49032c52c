"""The number of examples of property tests: fewer in the fast loop, more in a nightly run."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

FACTOR: Final = float(os.environ.get("STREAMSCRIBE_EXAMPLES", "1"))
DEFAULT_EXAMPLES: Final = 100  # hypothesis' own


def examples(count: int) -> settings:
    """Return settings with `count` examples, multiplied by STREAMSCRIBE_EXAMPLES."""
    return settings(max_examples=max(1, round(count * FACTOR)), deadline=None)
