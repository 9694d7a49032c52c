from __future__ import annotations

from consumer.errors import SttError


class DevstackError(SttError):
    """Something that the user can mend: one line that says what failed and what to do next."""
