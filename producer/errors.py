"""What can go wrong, named by what it touches."""

from __future__ import annotations


class MediaError(Exception):
    """One input cannot be read: a line that names it and says why. Others go on."""


class PublishError(Exception):
    """Nothing more can be published: a line that says what failed and what to do next."""
