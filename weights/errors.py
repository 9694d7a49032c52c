"""Errors of finding and fetching weights. Messages say what to do, one sentence a line."""

from __future__ import annotations


class WeightsError(Exception):
    """The weights, or a record about them, cannot be had or used."""


class SourceError(WeightsError):
    """One source did not give the weights; another may."""
