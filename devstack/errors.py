from __future__ import annotations

from consumer.errors import SttError


class DevstackError(SttError):
    """An error that the user can fix; the message states what failed and what to do next."""
