"""The end of power, as whoever is cut off by it sees it."""

from __future__ import annotations


class PowerCut(BaseException):
    """Everything stops here; no handler of a program runs on purpose after it."""
