"""Errors of finding and fetching weights. Messages state what to do."""

from __future__ import annotations


class WeightsError(Exception):
    """The weights, or their fold record, cannot be found, fetched or used."""


class SourceError(WeightsError):
    """One source cannot provide the weights; another may."""
