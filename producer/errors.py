"""Errors of publishing, by scope: one input, or all of them."""

from __future__ import annotations


class MediaError(Exception):
    """One input cannot be read: one line with its name and the reason. Other inputs go on."""


class PublishError(Exception):
    """Nothing more can be published: one line with what failed and what to do next."""
