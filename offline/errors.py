"""Errors of transcribing without Kafka."""

from __future__ import annotations


class TranscriptionError(Exception):
    """One input cannot be transcribed: one line with the reason. Other inputs go on."""
