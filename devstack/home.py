from __future__ import annotations

import os
from pathlib import Path


def cache_home() -> Path:
    """Where downloads are kept: `STREAMSCRIBE_HOME`, else the user's cache folder (XDG)."""
    if home := os.environ.get("STREAMSCRIBE_HOME"):
        return Path(home).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "streamscribe"
