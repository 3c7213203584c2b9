"""Fuzzing: every place where insitu takes bytes from others, held against one sentence each.

`TARGETS` are those places; `fuzz` gives one of them inputs and reports. docs/fuzzing.md says how to use this, also
against a security module of another make over its own line.
"""

from __future__ import annotations

from . import cast
from . import targets as _targets
from .device import Device, drive, replay_on
from .engine import Report, fuzz, replay
from .findings import Finding
from .mutation import Mutator
from .target import TARGETS, Broken, Shape, Target, check, target

__all__ = [
    "TARGETS",
    "Broken",
    "Device",
    "Finding",
    "Mutator",
    "Report",
    "Shape",
    "Target",
    "cast",
    "check",
    "drive",
    "fuzz",
    "replay",
    "replay_on",
    "target",
]

_ = _targets  # importing it declares them
