from __future__ import annotations


class DevstackError(Exception):
    """Something that the user can mend: one line that says what failed and what to do next."""
