"""Errors of this package."""

from __future__ import annotations


class FormatError(Exception):
    """A transcript cannot be written in a format. The message names one that can."""
